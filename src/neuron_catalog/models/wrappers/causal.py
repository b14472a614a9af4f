"""A decoder with a cache of fixed size, as two functions: `prefill` reads a prompt, `decode` one token more.

Keys, values and the states of recurrent layers are inputs and outputs of both. Padding stands on the left of
a prompt; masks and positions follow from one mask for each row. The oracle is the plain model without any
cache, which sees the whole text at once.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from neuron_catalog.errors import CompileError
from neuron_catalog.manifest import Plan
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.continuation import CausalText, Function, Layout, dirty, zeros
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.wrappers.base import Oracle, Wrapped, Wrapper
from neuron_catalog.models.wrappers.forward import class_path
from neuron_catalog.models.wrappers.layers import (
    SEQUENCE_DIM,
    Recording,
    Shifted,
    Slot,
    Written,
    cache_of,
    slots_of,
)
from neuron_catalog.models.wrappers.stepwise import (
    CACHE_LAYERS,
    CACHE_OF_STATES,
    FACTOR,
    STEPS,
    CachedGraph,
    empty_states,
    last_position,
    part_named,
    part_of,
    positions_of,
    stepwise_trial,
)
from neuron_catalog.parts import STATE, Part

ATTENTION: dict[Layout, type[Written]] = {"written": Written, "shifted": Shifted}
CACHE_ARGUMENTS = ("past_key_values", "cache_params")
"""What models call the cache; state-space models have a word of their own."""

LEAST_REACH = 128
"""Places of a cache that the cheapest function sees. A step of a llama of 134 million parameters that sees
1024 costs 1.19 times as much as one that sees 128 (two threads of a CPU)."""

NEXT_IDS = "next_ids"
"""What the tokens after the prompt are called in a trial."""


class CausalCacheGraph(CachedGraph):
    """The functions of a decoder. What it keeps between two tokens is found by reading one prompt."""

    def __init__(self, model: nn.Module, plan: Plan, layout: Layout) -> None:
        super().__init__(model, plan, plan.inputs)
        self._cache_argument = self._cache_argument_of(model)
        self._layout = layout
        self._shapes = self._find_slots(plan)
        self._slots = tuple(self._shapes)

    def prefill(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Read a prompt; its states are written over those given, at the left or the right end."""
        count = len(self._inputs)
        cache = cache_of(self._config, Recording)
        scores = self._read(dict(zip(self._inputs, tensors[:count], strict=True)), cache)
        kept = (self._kept(slot, slot.read(cache), old) for slot, old in self._beside(tensors[count:]))
        return (scores, *kept)

    def decode(self, input_ids: Tensor, attention_mask: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Read one token more, the last one that the mask [rows, reach] shows."""
        cache = cache_of(self._config, ATTENTION[self._layout])
        position = last_position(attention_mask)
        for layer in cache.layers:
            layer.position, layer.reach = position, attention_mask.shape[1]
        for slot, state in self._beside(states):
            slot.write(cache, state)
        named = {"input_ids": input_ids}
        if not all(slot.is_recurrent for slot in self._slots):
            named["attention_mask"] = attention_mask  # else there is nothing in the cache to be masked
        scores = self._call(named, cache, positions_of(attention_mask)[:, -1:])
        return (scores, *(slot.read(cache) for slot in self._slots))

    def states(self, plan: Plan, rows: int) -> dict[str, Tensor]:
        """Return empty states for a plan, by name."""
        return empty_states(self._shapes, rows, plan.axes["sequence_length"])

    def _beside(self, states: tuple[Tensor, ...]) -> zip[tuple[Slot, Tensor]]:
        return zip(self._slots, states, strict=True)

    def _cache_argument_of(self, model: nn.Module) -> str:
        for name in CACHE_ARGUMENTS:
            if name in self._accepted:
                return name
        raise CompileError(
            f"The forward of {type(model).__name__} takes no cache ({' or '.join(CACHE_ARGUMENTS)}).",
            "Name the wrapper forward for this task in the architecture's YAML.",
        )

    def _find_slots(self, plan: Plan) -> dict[Slot, tuple[int, ...]]:
        cache = cache_of(self._config, Recording)
        with torch.no_grad():
            self._read(make_inputs(plan, 0, "full"), cache)
        shapes = {slot: tuple(slot.read(cache).shape) for slot in slots_of(cache)}
        if self._layout == "written" and any(slot.is_recurrent for slot in shapes):
            raise CompileError(
                "The model has recurrent layers, which would read what fills up a prompt on its right.",
                "Name the wrapper shifted-cache for this task in the architecture's YAML.",
            )
        return shapes

    def _read(self, named: Mapping[str, Tensor], cache: Cache) -> Tensor:
        """Return the scores after the last token that the mask shows."""
        mask = named["attention_mask"]
        last = last_position(mask)
        keep = {"logits_to_keep": last} if "logits_to_keep" in self._accepted else {}
        logits = self._call(named, cache, positions_of(mask), **keep)
        return logits if keep else logits.index_select(1, last)

    def _call(self, named: Mapping[str, Tensor], cache: Cache, positions: Tensor, **more: Tensor) -> Tensor:
        if "position_ids" in self._accepted and "position_ids" not in named:
            more["position_ids"] = positions
        given = self.model(**named, **{self._cache_argument: cache}, **more, **self._arguments)
        logits: Tensor = given.logits
        return logits

    def _kept(self, slot: Slot, new: Tensor, old: Tensor) -> Tensor:
        if slot.is_recurrent:
            return old.copy_(new)
        length, whole = new.shape[SEQUENCE_DIM], old.shape[SEQUENCE_DIM]
        begin = 0 if self._layout == "written" else whole - length
        old.narrow(SEQUENCE_DIM, begin, length).copy_(new)
        return old


class CausalCacheWrapper(Wrapper):
    """Decoders; `written` puts each token at its position, `shifted` at the right end."""

    prefix = "model."
    factor = FACTOR

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.transformers = CACHE_LAYERS if layout == "written" else CACHE_OF_STATES

    def module(self, model: nn.Module, plan: Plan) -> CausalCacheGraph:
        return CausalCacheGraph(model, plan, self.layout)

    def wrapped(self, model: nn.Module, plans: Mapping[str, Plan], seed: int) -> Wrapped:
        module = self.module(model, list(plans.values())[-1])
        examples: dict[str, tuple[Tensor, ...]] = {}
        parts: dict[str, Part] = {}
        for plan in plans.values():
            for name, function, inputs in (
                (prefill_name(plan), module.prefill, _prompt(module, plan, seed)),
                *(
                    (decode_name(plan, reach), module.decode, _token(module, plan, reach))
                    for reach in self.reaches(plan)
                ),
            ):
                states = tuple(each for each in inputs if each.startswith(STATE))
                setattr(module, name, function)
                examples[name] = tuple(inputs.values())
                parts[name] = part_of(name, inputs, ("logits", *states))
        return Wrapped(module, examples, tuple(parts.values()))

    def reaches(self, plan: Plan) -> list[int]:
        """Return how many places of the cache functions see: powers of two, and all of them."""
        length = plan.axes["sequence_length"]
        if self.layout == "shifted":
            return [length]
        return [*itertools.takewhile(lambda reach: reach < length, _powers_of_two(LEAST_REACH)), length]

    def trial(self, plan: Plan) -> Plan:
        held = max((t.placeholders + len(t.marks) + 2 for t in plan.inputs if t.placeholders), default=1)
        steps = min(max(STEPS, len(self.reaches(plan))), plan.axes["sequence_length"] - held)
        whole = plan.axes["prompt_length"]
        prompt = min(whole - 1 if whole > 2 else whole, plan.axes["sequence_length"] - steps)
        return stepwise_trial(plan, NEXT_IDS, steps, steps + 1, {"prompt_length": prompt})

    def assembled(
        self, name: str, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Function:
        del name
        part = part_named(parts, prefill_name(plan))
        names = [tensor.name for tensor in self.trial(plan).inputs]

        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            inputs = dict(zip(names, tensors, strict=True))
            following = inputs.pop(NEXT_IDS)
            text = self.text(plan, functions, dirty(part))
            scores = [text.begin(inputs)]
            for number, ids in enumerate(torch.split(following, 1, dim=1)):
                wide = [reach for reach in sorted(text.decode) if reach > text.length]
                reach = wide[number % len(wide)]  # each function in turn
                scores.append(text.step(ids.repeat_interleave(text.beams, 0), reach)[:: text.beams])
            return (torch.cat(scores, dim=1),)

        return run

    def called(
        self, name: str, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Function:
        del name

        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            return functions[prefill_name(plan)](*tensors, *zeros(part))[:1]

        part = part_named(parts, prefill_name(plan))
        return run

    def begun(self, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]) -> CausalText:
        return self.text(plan, functions, zeros(part_named(parts, prefill_name(plan))))

    def text(self, plan: Plan, functions: Mapping[str, Function], states: list[Tensor]) -> CausalText:
        """Return a text to be continued by the functions of a plan."""
        decode = {reach: functions[name] for reach, name in _decoders(plan, functions).items()}
        return CausalText(plan, self.layout, functions[prefill_name(plan)], decode, states)

    def oracle(self, model: nn.Module, plan: Plan) -> Oracle:
        """Return the plain model's scores of a whole text, from the end of the prompt on."""
        accepted = inspect.signature(model.forward).parameters

        def reference(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            arguments = {**fixed_arguments(plan, inputs), "use_cache": False}
            named = dict(inputs)
            following = named.pop(NEXT_IDS)
            begin = named["input_ids"].shape[1] - 1
            named["input_ids"] = torch.cat([named["input_ids"], following], dim=1)
            named["attention_mask"] = torch.cat([named["attention_mask"], torch.ones_like(following)], dim=1)
            if "position_ids" in accepted and "position_ids" not in named:
                named["position_ids"] = positions_of(named["attention_mask"])
            return {"logits": model(**named, **arguments).logits[:, begin:]}

        return reference

    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        with torch.no_grad():
            given = model(**inputs, **fixed_arguments(plan, inputs))
        return {"": class_path(given)}


def prefill_name(plan: Plan) -> str:
    """Return what the function that reads a prompt is called in the file."""
    return f"prefill_{plan.axes['batch_size']}x{plan.axes['prompt_length']}_of_{plan.axes['sequence_length']}"


def decode_name(plan: Plan, reach: int) -> str:
    """Return what the function that reads one token more, and sees so many, is called in the file."""
    return f"decode_{_rows(plan)}x{reach}_of_{plan.axes['sequence_length']}"


def _decoders(plan: Plan, names: Iterable[str]) -> dict[int, str]:
    """Find the functions that read one token more: how many places each sees → its name in the file."""
    whole = re.compile(f"decode_{_rows(plan)}x([0-9]+)_of_{plan.axes['sequence_length']}")
    return {int(found[1]): name for name in names if (found := whole.fullmatch(name))}


def _rows(plan: Plan) -> int:
    return plan.axes["batch_size"] * plan.axes["num_beams"]


def _powers_of_two(first: int) -> Iterator[int]:
    return (first << number for number in itertools.count())


def _prompt(module: CausalCacheGraph, plan: Plan, seed: int) -> dict[str, Tensor]:
    return {**make_inputs(plan, seed), **module.states(plan, plan.axes["batch_size"])}


def _token(module: CausalCacheGraph, plan: Plan, reach: int) -> dict[str, Tensor]:
    """Return an example of the last token but one that a function sees."""
    mask = torch.ones(_rows(plan), reach, dtype=torch.int64)
    mask[:, -1] = 0
    ids = torch.zeros(_rows(plan), 1, dtype=torch.int64)
    return {"input_ids": ids, "attention_mask": mask, **module.states(plan, _rows(plan))}
