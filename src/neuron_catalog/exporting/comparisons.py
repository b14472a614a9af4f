"""How far two tensors may differ, and how far they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neuron_catalog.manifest import Difference, InputTensor, OutputTensor, Plan
from neuron_catalog.schema.words import BEGINS_WITH, ENDS_WITH, OPEN_DIMS

RELATIVE_BOUND = 1e-5
"""Share of the largest eager value that a compiled output may differ by. Tiny models have tiny outputs: an
absolute 1e-3 would accept a model with different weights. Measured: a trace differs by 0 for nearly all
models and by less than 1e-6 for all, of outputs near 1."""


OTHER_BATCH_FACTOR = 100.0
"""How much further a row may differ between two batch sizes. They take different kernels, whose rounding deep
convolutional networks amplify: tiny mobilenet_v2 models reached 6.4 times the bound. True dependence on
other rows, such as batch statistics, changes the leading digits."""


@dataclass(frozen=True)
class Tolerance:
    """The bound on a difference.

    The scaled bound always counts. `absolute_alternative` (devices of lower precision) also accepts a
    difference up to atol; an atol that the caller gave is a bound of its own on every backend.
    """

    atol: float
    atol_required: bool
    absolute_alternative: bool
    factor: float = 1.0
    """Multiplies the scaled bound, where two computations may take different kernels."""

    @classmethod
    def of(cls, plan: Plan, absolute_alternative: bool, factor: float = 1.0) -> Tolerance:
        """Return the tolerance that a plan, a backend and a wrapper call for."""
        return cls(plan.atol, plan.atol_from_caller, absolute_alternative, factor)

    def allowed(self, reference: Tensor) -> float:
        """Return the largest difference allowed from `reference`: none if it holds codes."""
        if not reference.is_floating_point():
            return 0.0
        scale = largest(reference)
        bound = self.factor * RELATIVE_BOUND * scale
        if self.absolute_alternative:
            bound = max(bound, self.atol)
        return min(bound, self.atol) if self.atol_required else bound


def largest(tensor: Tensor) -> float:
    """Return the largest magnitude, 0 for an empty tensor, infinity if anything is not finite."""
    if tensor.numel() == 0:
        return 0.0
    value = tensor.detach().abs().max().double()
    return float(value) if torch.isfinite(value) else float("inf")


def difference(left: Tensor, right: Tensor) -> float:
    """Return the largest absolute difference of two tensors of one shape; infinity where either is NaN."""
    return largest(left.double() - right.double())


def compare(
    outputs: Mapping[str, Tensor], reference: Mapping[str, Tensor], tolerance: Tolerance, seed: int
) -> tuple[Difference, ...]:
    """Compare outputs by name with their reference."""
    return tuple(
        Difference(
            output=name,
            seed=seed,
            largest=difference(outputs[name], value),
            allowed=tolerance.allowed(value),
        )
        for name, value in reference.items()
    )


def too_large(differences: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """Return the differences beyond what was allowed; one that is not finite always is."""
    return tuple(d for d in differences if not d.largest <= d.allowed or d.largest == float("inf"))


def stretches(mask: Tensor, further: int) -> Tensor:
    """Return the mask of fewer positions, each of which stands for an equal stretch of entries.

    The last one beside the padding is left out: a convolution that shortens a sound looks over the border.
    """
    if not further:
        return mask
    size = mask.shape[-1] + further
    lengths = mask.sum(-1, keepdim=True)
    last = torch.where(lengths < mask.shape[-1], lengths * size // mask.shape[-1] - 1, size)
    return torch.arange(size) < last


def unmasked(value: Tensor, output: OutputTensor, mask: Tensor, mask_axes: tuple[str, ...]) -> Tensor:
    """Return the entries of an output that belong to real tokens, flat; all of them if it has no such axis.

    Dimensions are matched by the names of their axes. Where a name occurs twice (query and key of an
    attention map) the first one counts: rows of real queries. Positions beside those of the mask (patches of
    an image after or before the tokens) belong to nothing masked; fewer positions stand for stretches of it.
    """
    axes = _named(output)
    if mask_axes[-1] not in axes:
        return value.flatten()
    positions = [axes.index(axis) for axis in mask_axes if axis in axes]
    place = axes.index(mask_axes[-1])
    further = value.shape[place] - mask.shape[-1]
    beside = (further, 0) if output.axes[place] in ENDS_WITH else (0, further)
    mask = functional.pad(mask, beside, value=1) if further > 0 else stretches(mask, further)
    shape = [value.shape[p] if p in positions else 1 for p in range(value.dim())]
    return value[mask.bool().reshape(shape).expand_as(value)]


def real(outputs: Mapping[str, Tensor], inputs: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Return the entries of all outputs that belong to real tokens: what stands at padding means nothing."""
    return {tensor.name: _real(outputs[tensor.name], tensor, inputs, plan.masks) for tensor in plan.outputs}


def _real(
    value: Tensor, output: OutputTensor, inputs: Mapping[str, Tensor], masks: Iterable[InputTensor]
) -> Tensor:
    mask = next((each for each in masks if each.axes[-1] in _named(output)), None)
    return value if mask is None else unmasked(value, output, inputs[mask.name].bool(), mask.axes)


def _named(output: OutputTensor) -> list[str]:
    """The axes of an output, those named whose positions it holds among others."""
    return [(BEGINS_WITH | ENDS_WITH | OPEN_DIMS).get(axis, axis) for axis in output.axes]
