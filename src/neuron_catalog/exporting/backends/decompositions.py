"""Operators that XLA does not have, written out.

What a model computes stays the same; the checks compare it with the model as it is written. Some come from
torch's own table of decompositions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions

from neuron_catalog.exporting.backends.masks import masked_scatter

Operator = Any
aten = torch.ops.aten

FROM_TORCH = (
    aten._adaptive_avg_pool2d,
    aten.grid_sampler_2d,
    aten.im2col,
    aten.upsample_bicubic2d,
    aten.upsample_bilinear2d,
    aten.upsample_linear1d,
    aten.upsample_nearest1d,
    aten.upsample_nearest3d,
    aten.upsample_trilinear3d,
)
"""Operators that torch itself writes out."""


@cache
def decompositions() -> dict[Operator, Callable[..., Any]]:
    """Return operator → what computes the same, or `NotImplemented` where XLA's own is right."""
    own: dict[Operator, Callable[..., Any]] = {
        aten.add.Tensor: _of_one_type(aten.add.Tensor),
        aten.mul.Tensor: _of_one_type(aten.mul.Tensor),
        aten.sub.Tensor: _of_one_type(aten.sub.Tensor),
        aten._weight_norm_interface.default: _weight_norm,
        aten.avg_pool2d.default: _avg_pool2d,
        aten.bucketize.Tensor: _bucketize,
        aten.unfold.default: _unfold,
        aten.unfold_copy.default: _unfold,
        aten._upsample_bicubic2d_aa.default: _resized_by(aten._upsample_bicubic2d_aa),
        aten._upsample_bilinear2d_aa.default: _resized_by(aten._upsample_bilinear2d_aa),
        aten._embedding_bag.default: _embedding_bag,
        aten.col2im.default: _col2im,
        aten.cummin.default: _cummin,
        aten.isin.Tensor_Tensor: _isin,
        aten.linalg_solve_triangular.default: _solve_triangular,
        aten.searchsorted.Tensor: _searchsorted,
        aten.scatter_reduce.two: _scatter_reduce,
        aten.masked_scatter.default: masked_scatter,
        aten.masked_scatter_.default: lambda value, *more: value.copy_(masked_scatter(value, *more)),
    }
    return {**get_decompositions(FROM_TORCH), **own}


def _of_one_type(operator: Operator) -> Callable[..., Any]:
    """Convert integers to a common type first: XLA's own conversion of int32 to int64 is refused by XLA."""

    def apply(left: Any, right: Any, **more: Any) -> Any:
        both = isinstance(left, Tensor) and isinstance(right, Tensor) and left.dtype != right.dtype
        if not both or left.is_floating_point() or right.is_floating_point():
            return NotImplemented
        common = torch.result_type(left, right)
        return operator(left.to(common), right.to(common), **more)

    return apply


def einsum(equation: str, *operands: Any) -> Tensor:
    """`torch.einsum` in products of matrices; torch-xla has its own, of which no mode is told."""
    given = operands[0] if len(operands) == 1 and isinstance(operands[0], Sequence) else operands
    with torch._C.DisableTorchFunction():  # a mode would be told of the whole operator, and call XLA's
        result: Tensor = aten.einsum.default.decompose(equation, list(given))
    return result


def _weight_norm(direction: Tensor, length: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """w = g v / |v|, and |v|."""
    norm = torch.norm_except_dim(direction, 2, dim)
    return direction * (length / norm), norm


def _bucketize(value: Tensor, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """Count the boundaries below each value."""
    wide = value.unsqueeze(-1)
    below = boundaries <= wide if right else boundaries < wide
    return below.sum(-1).to(torch.int32 if out_int32 else torch.int64)


def _avg_pool2d(
    value: Tensor,
    kernel: Sequence[int],
    _: Any = (),
    padding: Any = (0,),
    ceil_mode: bool = False,
    *more: Any,
) -> Any:
    """Take the mean of the whole image where the window is larger, for which XLA gives an empty result."""
    larger = kernel[0] >= value.shape[-2] and kernel[-1] >= value.shape[-1]
    if more or any(padding) or not (ceil_mode and larger):
        return NotImplemented
    return value.mean((-2, -1), keepdim=True)


def _resized_by(operator: Operator) -> Callable[..., Tensor]:
    """Resize an image by a product for its rows and one for its columns: it is linear in both."""

    def resized(value: Tensor, size: Sequence[int], align: bool, *scales: float | None) -> Tensor:
        vertical, horizontal = scales or (None, None)
        rows = _shares(operator, value.shape[-2], size[0], align, vertical)
        columns = _shares(operator, value.shape[-1], size[1], align, horizontal)
        return rows.to(value) @ value @ columns.to(value).T

    return resized


def _shares(operator: Operator, before: int, after: int, align: bool, scale: float | None) -> Tensor:
    """Return the share [after, before] of each row in each row of the resized image."""
    rows = torch.eye(before).reshape(before, 1, before, 1).expand(-1, -1, -1, 2)  # torch 2.13 errs with 1
    shares: Tensor = operator(rows, [after, 2], align, scale, None)
    return shares[:, 0, :, 0].T


def _solve_triangular(
    factor: Tensor, value: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """Solve `factor @ x = value` by products of matrices.

    D + N with a diagonal D and a strictly triangular N is D (I + M). Since M is nilpotent, the inverse of
    I + M is the product of all I + (-M)^(2^k) for 2^k below its size.
    """
    if not left:
        turned = _solve_triangular(factor.mT, value.mT, upper=not upper, unitriangular=unitriangular)
        turned_back: Tensor = turned.mT
        return turned_back
    size = factor.shape[-1]
    strict = factor.triu(1) if upper else factor.tril(-1)
    power, solved = -strict, value
    if not unitriangular:
        diagonal = factor.diagonal(dim1=-2, dim2=-1).unsqueeze(-1)
        power, solved = power / diagonal, value / diagonal
    reached = 1
    while reached < size:
        solved = solved + power @ solved
        power, reached = power @ power, 2 * reached
    return solved


def _searchsorted(ordered: Tensor, value: Tensor, *, right: bool = False, **more: Any) -> Any:
    """Count the entries of each ordered row below each value."""
    if more.get("sorter") is not None or more.get("side") == "right":
        return NotImplemented
    whole, wide = ordered.unsqueeze(-2), value.unsqueeze(-1)
    below = whole <= wide if right else whole < wide
    return below.sum(-1).to(torch.int32 if more.get("out_int32") else torch.int64)


def _embedding_bag(weight: Tensor, indices: Tensor, offsets: Tensor, *how: Any) -> Any:
    """Sum the rows of each bag, as a product with the matrix that tells which row is in which."""
    given: tuple[Any, ...] = (*how, *(False, 0, False, None, False, -1)[len(how) :])
    _, mode, _, scales, last, _ = given
    if mode != 0 or last:
        return NotImplemented
    rows = weight[indices]
    rows = rows if scales is None else rows * scales.unsqueeze(-1)
    place = torch.arange(len(indices), device=indices.device).unsqueeze(0)
    begins = (place >= offsets.unsqueeze(1)).to(rows.dtype)  # 1 from the begin of each bag on
    inside = begins - torch.cat([begins[1:], torch.zeros_like(begins[:1])])
    return inside @ rows, offsets, offsets, offsets


def _col2im(value: Tensor, size: Sequence[int], kernel: Sequence[int], *how: Sequence[int]) -> Tensor:
    """Put windows back to their places and sum what overlaps: a transposed convolution with units."""
    dilation, padding, stride = how
    spans = [s + 2 * p - d * (k - 1) - 1 for s, p, d, k in zip(size, padding, dilation, kernel, strict=True)]
    counts = [span // step + 1 for span, step in zip(spans, stride, strict=True)]
    area = kernel[0] * kernel[1]
    units = torch.eye(area, dtype=value.dtype).reshape(area, 1, *kernel)
    windows = value.reshape(-1, area, *counts)
    beyond = [span % step for span, step in zip(spans, stride, strict=True)]
    folded = torch.conv_transpose2d(windows, units.to(value), None, stride, padding, beyond, 1, dilation)
    return folded.reshape(*value.shape[:-2], -1, *size)


def _cummin(value: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The least of all up to each place, and where it stands last."""
    rows = value.movedim(dim, -1)
    place = torch.arange(rows.shape[-1], device=value.device)
    before = place.unsqueeze(0) <= place.unsqueeze(1)
    highest = torch.inf if value.is_floating_point() else torch.iinfo(value.dtype).max
    least = torch.where(before, rows.unsqueeze(-2), highest).amin(-1)
    found = before & (rows.unsqueeze(-2) == least.unsqueeze(-1))
    last = torch.where(found, place, 0).amax(-1)
    return least.movedim(-1, dim), last.movedim(-1, dim)


def _isin(value: Tensor, among: Tensor, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Compare each value with all."""
    del assume_unique
    found = (value.unsqueeze(-1) == among.flatten()).any(-1)
    return ~found if invert else found


def _scatter_reduce(
    value: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Any:
    """Reduce for each place what goes there, found by comparing each index with each place."""
    before, entries, chosen = (each.movedim(dim, -1) for each in (value, source, index))
    if before.shape[:-1] != chosen.shape[:-1] or entries.shape != chosen.shape or reduce not in REDUCED:
        return NotImplemented
    place = torch.arange(before.shape[-1], device=index.device).unsqueeze(-1)
    goes = chosen.unsqueeze(-2) == place  # [..., place, entry]
    entries = entries.unsqueeze(-2).expand_as(goes)
    if include_self:
        goes = torch.cat([goes, torch.ones_like(goes[..., :1])], -1)
        entries = torch.cat([entries, before.unsqueeze(-1)], -1)
    reduced = REDUCED[reduce](entries, goes)
    return torch.where(goes.any(-1), reduced, before).movedim(-1, dim)


def _sum(entries: Tensor, goes: Tensor) -> Tensor:
    return torch.where(goes, entries, 0).sum(-1)


def _amax(entries: Tensor, goes: Tensor) -> Tensor:
    least = -torch.inf if entries.is_floating_point() else torch.iinfo(entries.dtype).min
    return torch.where(goes, entries, least).amax(-1)


REDUCED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": _sum,
    "mean": lambda entries, goes: _sum(entries, goes) / goes.sum(-1).clamp(min=1),
    "amax": _amax,
    "amin": lambda entries, goes: -_amax(-entries, goes),
}
"""Name of a reduction → what it makes of the entries that go to a place, along the last dimension."""


def _unfold(value: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Take a window of `size` entries every `step` entries; windows stand last."""
    dimension %= value.dim()
    count = (value.shape[dimension] - size) // step + 1
    begins = torch.arange(count, device=value.device).unsqueeze(1) * step
    place = (begins + torch.arange(size, device=value.device)).flatten()
    taken = value.index_select(dimension, place)
    shape = (*value.shape[:dimension], count, size, *value.shape[dimension + 1 :])
    return taken.reshape(shape).movedim(dimension + 1, -1)
