"""What is selected and written by masks and counts, in graphs of fixed shapes.

Sizes that depend on values are fixed to those of the example inputs; the checks use others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def masked_scatter(value: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """Take the next entry of `source` wherever the mask is true; an empty one has none to take."""
    value, mask = torch.broadcast_tensors(value, mask)  # type: ignore[no-untyped-call]
    if not source.numel():
        return value.clone()
    number = (mask.flatten().to(torch.int64).cumsum(0) - 1).clamp(0, source.numel() - 1)
    taken = source.flatten().index_select(0, number).reshape(value.shape)
    return torch.where(mask, taken, value)


def selected(mask: Tensor, count: int) -> Tensor:
    """Return where a mask, taken flat, is true for the first, second … of `count` times."""
    passed = mask.flatten().to(torch.int64).cumsum(0)
    wanted = torch.arange(count, device=mask.device).unsqueeze(1)
    return (passed.unsqueeze(0) <= wanted).to(torch.int64).sum(1).clamp(max=mask.numel() - 1)


def nonzero(value: Tensor, found: Tensor) -> Tensor:
    """`torch.nonzero`, of as many rows as `found` has."""
    place = selected(value != 0, len(found))
    columns = []
    for size in reversed(value.shape):
        columns.append(place % size)
        place = place // size
    return torch.stack(columns[::-1], 1)


def masked_select(value: Tensor, mask: Tensor, found: Tensor) -> Tensor:
    """`torch.masked_select`, of as many entries as `found` has."""
    value, mask = torch.broadcast_tensors(value, mask)  # type: ignore[no-untyped-call]
    return value.flatten().index_select(0, selected(mask, len(found)))


def repeat_interleave(repeats: Tensor, found: Tensor) -> Tensor:
    """The rows that `torch.repeat_interleave` takes, as many as `found` has."""
    ends = repeats.cumsum(0).unsqueeze(0)
    return (ends <= torch.arange(len(found), device=repeats.device).unsqueeze(1)).to(torch.int64).sum(1)


def places(indices: Sequence[Tensor | None], values: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return the indices of an indexing with integers in place of masks; `values` are theirs."""
    given: list[Tensor | None] = []
    for index, value in zip(indices, values, strict=True):
        if index is None or value is None or index.dtype not in (torch.bool, torch.uint8):
            given.append(index)
        else:
            given.extend(nonzero(index, value.nonzero()).unbind(1))
    return given


def put(value: Tensor, mask: Tensor, new: Tensor) -> Tensor:
    """Return a tensor with other values where the mask is true: one after the other, or all the same."""
    inner = value.shape[mask.dim() :]
    wide = mask.reshape(*mask.shape, *[1] * len(inner)).expand(value.shape)
    if new.dim() > len(inner) and new.shape[0] != 1:
        return masked_scatter(value, wide, new.expand(-1, *inner))
    return torch.where(wide, new[0] if new.dim() > len(inner) else new, value)
