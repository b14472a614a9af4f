"""A loaded artifact that is called by input name and refuses what it was not compiled for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends.protocol import CompiledGraph, DynamicBatch
from neuron_catalog.manifest import ConstantTensor, InputTensor, Manifest, Plan

PAD_WITH_TOKENIZER = 'Pad with the tokenizer: padding="max_length", max_length=..., truncation=True.'
NEVER_PADDED = "Such an input is never padded or cut: give this very size, or export another."


class CompiledModel:
    """An artifact in memory. Call it with the tensors of a tokenizer: `model(**encoded)`."""

    def __init__(self, manifest: Manifest, graph: CompiledGraph) -> None:
        self.manifest = manifest
        axes = manifest.plan.dynamic_axes
        self._graph = DynamicBatch(graph, manifest.plan.axes[axes[0]]) if axes else graph

    def __call__(self, **inputs: Tensor) -> dict[str, Tensor]:
        """Run the graph and return its outputs by name.

        Raises:
            RequestError: naming the input that is missing, unknown, or of another shape or dtype.
        """
        plan = self.manifest.plan
        names = [tensor.name for tensor in plan.inputs]
        fixed = [constant.name for constant in plan.constants]
        for name in inputs:
            if name not in (*names, *fixed):
                raise RequestError(
                    f"The compiled graph takes no input {name!r}; {nearest(name, [*names, *fixed])}",
                    "Leave it out.",
                )
        for tensor in plan.inputs:
            self._require_match(tensor, inputs.get(tensor.name))
        rows = _rows(plan, inputs)
        for constant in plan.constants:
            _require_value(constant, inputs.pop(constant.name, None), rows.get(constant.axis))
        if plan.dynamic_axes and len({len(value) for value in inputs.values()}) > 1:
            raise RequestError("The inputs differ in their number of rows.", "Give each the same batch.")
        outputs = self._graph(*(inputs[name] for name in names))
        return dict(zip((tensor.name for tensor in plan.outputs), outputs, strict=True))

    def _require_match(self, tensor: InputTensor, given: Tensor | None) -> None:
        if given is None:
            raise RequestError(f"The input {tensor.name!r} is missing.", "Pass it by name.")
        if given.dtype != getattr(torch, tensor.dtype):
            raise RequestError(
                f"{tensor.name} is {given.dtype}; the graph takes {tensor.dtype}.", "Convert it."
            )
        dynamic = self.manifest.plan.dynamic_axes
        fits = len(given.shape) == len(tensor.shape) and all(
            axis in dynamic or size == asked
            for axis, size, asked in zip(tensor.axes, given.shape, tensor.shape, strict=True)
        )
        if not fits or not given.numel():
            asked = ", ".join(
                f"{axis}=any" if axis in dynamic else f"{axis}={size}"
                for axis, size in zip(tensor.axes, tensor.shape, strict=True)
            )
            raise RequestError(
                f"{tensor.name} has shape {tuple(given.shape)}; the graph was compiled for ({asked}).",
                NEVER_PADDED if tensor.pad is None else PAD_WITH_TOKENIZER,
            )


def _rows(plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    """The size of each axis: as given, where it may differ from what was planned."""
    given = {
        axis: size
        for tensor in plan.inputs
        for axis, size in zip(tensor.axes, inputs[tensor.name].shape, strict=True)
    }
    return {**plan.axes, **given}


def _require_value(constant: ConstantTensor, given: Tensor | None, rows: int | None) -> None:
    value = constant.value if rows is None else constant.value[:1] * rows
    if given is None:
        raise RequestError(
            f"{constant.name} is missing: the graph was made for one value of it, and is wrong for others.",
            "Pass what the processor gives.",
        )
    if given.tolist() != torch.tensor(value).tolist():
        raise RequestError(
            f"{constant.name} is {given.tolist()}; the graph was made for {torch.tensor(value).tolist()}.",
            "Such a value is fixed at export: give images of this very size, or export for another.",
        )


def load_artifact(folder: str | Path) -> CompiledModel:
    """Load an exported folder, after holding every file to its digest.

    Raises:
        RequestError: if it is no artifact, or its backend is not available here.
        VerificationError: if a file was altered.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    manifest.require_intact(folder)
    _, backend = backends.choose(manifest.backend.name)
    return CompiledModel(manifest, backend.load(folder / manifest.graph))
