"""Hold what an exported model writes to what transformers' `generate` writes, token for token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuron_catalog.errors import NeuronCatalogError, first_line
from neuron_catalog.exporting.build import Built, Draft
from neuron_catalog.exporting.compiling import LARGEST
from neuron_catalog.exporting.exporter import finish, write_settings
from neuron_catalog.exporting.fits import axis_fits
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.manifest import AxisFit, Check, Graph, InputTensor, Plan, Status
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import resized
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.runtime import classes
from neuron_catalog.runtime.auto import NeuronAutoModel
from neuron_catalog.runtime.generation import GeneratingModel
from neuron_catalog.schema.words import CACHE_AXES

NEW_TOKENS = 16
"""How many tokens are written, if there is room for them."""


WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False, "num_beams": 1},
    "sampled": {"do_sample": True, "num_beams": 1, "top_k": 0, "temperature": 1.0},
}
"""How the next token is chosen."""

GENERATION_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    AssertionError,
)
"""What transformers' models raise that have a `generate` which does not work with what they are given."""

SEED = 11
"""Of prompts, and of the tokens that are drawn."""


def with_room(axes: tuple[str, ...], tiny: Mapping[str, int]) -> dict[str, int]:
    """Return sizes with which a tiny model with a cache has room for them beside what it reads."""
    if "prompt_length" in axes:
        prompt = tiny["sequence_length"]
        return {"prompt_length": prompt, "sequence_length": prompt + NEW_TOKENS}
    return {"decoder_sequence_length": NEW_TOKENS + 4} if "num_beams" in axes else {}


def generates(plan: Plan) -> bool:
    """Tell whether a plan is for a task that writes texts."""
    return issubclass(getattr(classes, plan.runtime_class, object), GeneratingModel)


def check_generation(built: Built, draft: Draft, resolved: Resolved, folder: Path) -> Check:
    """Have the artifact and the eager model go on with the same unequal prompts, greedily and by sampling.

    Without a cache it is not run if transformers' own model cannot do it, or the artifact takes whole texts
    only; with one there is no way around it.
    """
    fits = _fits(draft)
    if reason := _only_whole(built.plan, fits):
        return Check(name="generation", status="not_run", detail=reason)
    prompts = _prompts(built.plan)
    try:
        expected = {way: _written(built.model, built.plan, prompts, how) for way, how in WAYS.items()}
    except GENERATION_ERRORS as error:
        reason = f"transformers' own generate fails: {type(error).__name__}: {first_line(error)}"
        status: Status = "failed" if built.plan.wrapper in CACHE_AXES else "not_run"
        return Check(name="generation", status=status, detail=reason)
    graph = Graph(name=LARGEST, plan=built.plan, checks=(), fits=fits)
    write_settings(built, resolved, folder)
    finish(draft, (graph,), resolved, folder)
    model = NeuronAutoModel.from_pretrained(folder)
    for way, how in WAYS.items():
        try:
            given = _written(model, built.plan, prompts, how)
        except NeuronCatalogError as error:
            return Check(name="generation", status="failed", detail=f"{way}: {error.cause}")
        if expected[way].tolist() != given.tolist():
            detail = f"{way}: {_first_difference(expected[way], given)}"
            return Check(name="generation", status="failed", detail=detail)
    tokens = " and ".join(f"{text.shape[1]} {way}" for way, text in expected.items())
    return Check(name="generation", status="passed", detail=f"{tokens} tokens equal those of transformers")


def _fits(draft: Draft) -> tuple[AxisFit, ...]:
    """What may be filled up: with a cache prompts always, since that is how it is made; else it is tried."""
    if draft.plan.wrapper not in CACHE_AXES:
        return axis_fits(draft.subject)
    return (AxisFit(axis="prompt_length", filled="right", detail="as the prompts of this check"),)


def _only_whole(plan: Plan, fits: tuple[AxisFit, ...]) -> str:
    """Say why a graph without a cache cannot begin with a short text."""
    if plan.wrapper in CACHE_AXES:
        return ""
    if any(tensor.placeholders for tensor in plan.inputs):
        return "exported without a cache, and the text holds more than tokens"
    growing = next((fit for fit in fits if fit.axis.endswith("sequence_length") and not fit.filled), None)
    return f"exported without a cache, and {growing.axis}: {growing.detail}" if growing else ""


def _written(model: Any, plan: Plan, prompts: dict[str, Any], how: dict[str, Any]) -> Tensor:
    torch.manual_seed(SEED)
    room = min(NEW_TOKENS, _capacity(plan) - _prompt_length(plan))
    with quiet_transformers(), torch.no_grad():
        written: Tensor = model.generate(
            **prompts,
            **how,
            **_start(model),
            max_new_tokens=room,
            min_new_tokens=room,
            pad_token_id=_pad(plan),
        )
    return written[:, -room:]  # some models of transformers leave out what came before


def _start(model: Any) -> dict[str, int]:
    """Name the first token of an answer, where the tiny config says nothing of it."""
    settings = model.generation_config
    known = (settings.decoder_start_token_id, settings.bos_token_id)
    return {"decoder_start_token_id": 1} if model.config.is_encoder_decoder and known == (None, None) else {}


def _prompts(plan: Plan) -> dict[str, Any]:
    """Return rows of different lengths: of a text that goes on, with the padding on the left."""
    if any(tensor.name.startswith("decoder_") for tensor in plan.inputs):
        tensors = tuple(tensor for tensor in plan.inputs if not tensor.name.startswith("decoder_"))
    else:
        sizes = {"sequence_length": _prompt_length(plan)}
        tensors = tuple(_left_padded(tensor) for tensor in resized(plan, sizes).inputs)
    plan = plan.model_copy(update={"inputs": tensors})
    inputs = make_inputs(plan, SEED)
    names = {constant.name for constant in plan.constants}
    fixed = fixed_arguments(plan, inputs)
    return {**inputs, **{name: value for name, value in fixed.items() if name in names}}


def _left_padded(tensor: InputTensor) -> InputTensor:
    masks_text = tensor.fill == "padded_mask" and "input_ids" in tensor.masks
    return tensor.model_copy(update={"fill": "left_padded_mask"}) if masks_text else tensor


def _prompt_length(plan: Plan) -> int:
    """How many tokens come first: half of what there is room for, unless the graph says."""
    if "decoder_sequence_length" in plan.axes:
        return 1
    return plan.axes.get("prompt_length") or plan.axes["sequence_length"] // 2


def _capacity(plan: Plan) -> int:
    return plan.axes.get("decoder_sequence_length") or plan.axes["sequence_length"]


def _pad(plan: Plan) -> int:
    return next((tensor.pad for tensor in plan.inputs if tensor.pad is not None and tensor.below), 0)


def _first_difference(expected: Tensor, given: Tensor) -> str:
    row, place = (expected != given).nonzero()[0].tolist()
    return f"token {place} of text {row} is {given[row, place]} instead of {expected[row, place]}"
