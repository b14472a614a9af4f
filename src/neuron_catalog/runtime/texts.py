"""What `generate` passes from token to token: a text that is continued by the functions of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Manifest, Plan
from neuron_catalog.models.continuation import Continuation
from neuron_catalog.models.fitting import filled_up
from neuron_catalog.models.wrappers import WRAPPERS
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.runtime.bucket import Bucket

OTHER_CACHE: dict[str, tuple[float | None, ...]] = {
    "assistant_early_exit": (None,),
    "cache_implementation": (None,),
    "guidance_scale": (None, 1),
    "prefill_chunk_size": (None,),
    "prompt_lookup_num_tokens": (None,),
}
"""Option of a generation config that would take tokens back or need several caches → what asks for none."""


@dataclass(frozen=True)
class Demand:
    """What a call of `generate` needs."""

    prompts: int
    """Rows that are read."""
    expand: int
    """Texts that are continued for each of them: beams, or sequences to return."""
    length: int
    """Tokens of a whole text; of an encoder–decoder, of the answer."""

    @property
    def rows(self) -> int:
        """Texts that are continued at a time."""
        return self.prompts * self.expand


class TextInProgress:
    """Stands where transformers has a cache. `begin` reads prompts, `read` what the texts go on with."""

    is_compileable = False

    def __init__(self, compiled: CompiledModel, demand: Demand) -> None:
        self._compiled = compiled
        self.demand = demand
        self._text: Continuation | None = None

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many tokens were taken."""
        del layer_idx
        return self._text.length if self._text else 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let each text go on from that of another row, as beam search asks."""
        assert self._text is not None
        order = torch.arange(len(self._text.mask))
        order[: len(beam_idx)] = beam_idx
        self._text.reorder(order)

    def begin(self, given: Mapping[str, Tensor]) -> Tensor:
        """Read prompts on the cheapest graph that takes them.

        Returns what its first function gives for each prompt: scores [prompts, 1, vocabulary], or what an
        encoder makes of an input.

        Raises:
            RequestError: if an input is missing, or no graph takes the inputs.
        """
        bucket, inputs = self._compiled.chosen(given, self._enough)
        manifest = self._compiled.manifest
        text = WRAPPERS[bucket.plan.wrapper].begun(bucket.plan, self._compiled.program.graphs, manifest.parts)
        assert text is not None
        first = text.begin(_full(bucket, inputs))
        if self.demand.expand != text.beams:
            text.reorder(self._spread(text))
        self._text = text
        return first[: self.demand.prompts]

    def read(self, ids: Tensor) -> Tensor:
        """Take tokens of each text, [rows, length]; return the scores after the last one."""
        assert self._text is not None
        lacking = len(self._text.mask) - len(ids)
        whole = torch.cat([ids, ids[-1:].expand(lacking, -1)]) if lacking else ids
        for place in range(ids.shape[1]):
            scores = self._text.step(whole[:, place : place + 1])
        return scores[: len(ids)]

    def _spread(self, text: Continuation) -> Tensor:
        """Return the rows that the texts go on from: each prompt for as many as are asked for."""
        rows = torch.arange(len(text.mask)) // self.demand.expand * text.beams
        return rows.clamp(max=len(text.mask) - 1)

    def _enough(self, plan: Plan) -> bool:
        rows = plan.axes["batch_size"] * plan.axes["num_beams"]
        return rows >= self.demand.rows and places(plan) >= self.demand.length


def _full(bucket: Bucket, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fill inputs up; the length of a prompt is left to the text, which knows where its cache begins."""
    fillings = {axis: fill for axis, fill in bucket.fillings.items() if axis != "prompt_length"}
    return {
        tensor.name: filled_up(tensor, inputs[tensor.name], fillings)
        for tensor in bucket.plan.inputs
        if tensor.name in inputs
    }


def places(plan: Plan) -> int:
    """Return the longest text that a graph can write: its cache, or what it takes."""
    return plan.axes.get("decoder_sequence_length") or plan.axes["sequence_length"]


def capacity(manifest: Manifest) -> int:
    """Return the longest text that a model can write: that of its largest graph."""
    return places(manifest.plan)


def require_room(manifest: Manifest, demand: Demand, prompt: int) -> None:
    """Hold a call of `generate` to what was exported, before anything is computed.

    Raises:
        RequestError: if there are more rows, beams, or tokens than the graphs have room for.
    """
    plans = [graph.plan for graph in manifest.graphs]
    batch = max(plan.axes["batch_size"] for plan in plans)
    if demand.prompts > batch:
        raise RequestError(
            f"{demand.prompts} texts were given at once; the model was exported for {batch}.",
            f"Give fewer at a time, or export with --batch_size {demand.prompts}.",
        )
    rows = max(plan.axes["batch_size"] * plan.axes.get("num_beams", 1) for plan in plans)
    if demand.rows > rows:
        beams = f"--num_beams {demand.expand}, or with " if "num_beams" in manifest.plan.axes else ""
        raise RequestError(
            f"{demand.prompts} texts with {demand.expand} beams or sequences each are {demand.rows} rows; "
            f"the model was exported for {rows}.",
            f"Export with {beams}a larger --batch_size.",
        )
    room = capacity(manifest)
    if demand.length > room:
        raise RequestError(
            f"{prompt} tokens and {demand.length - prompt} new ones are {demand.length}; "
            f"the model was exported for {room}.",
            "Shorten the text, ask for fewer new tokens, or export for longer texts.",
        )
    longest = max(plan.axes.get("prompt_length", prompt) for plan in plans)
    if prompt > longest:
        raise RequestError(
            f"A prompt of {prompt} tokens was given; the model was exported for {longest}.",
            f"Shorten it, or export with --prompt_length {prompt}.",
        )


def require_one_cache(config: Any) -> None:
    """Hold a generation config to what one cache of a fixed size can do.

    Raises:
        RequestError: naming the option that needs another.
    """
    for option, neutral in OTHER_CACHE.items():
        if getattr(config, option, None) not in neutral:
            raise RequestError(
                f"{option} needs another cache than the one of a fixed size in the graph.",
                f"Leave {option} out.",
            )


def only_tensors(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the arguments that are tensors."""
    return {name: value for name, value in given.items() if isinstance(value, Tensor)}
