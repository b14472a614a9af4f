"""Ranges and slices that begin where a lazy tensor says, and lists of lazy tensors.

torch asks for the values of such bounds, which would be fixed in the graph. Only how many entries there are
need be: they are counted from the beginning on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class LazyBounds(TorchFunctionMode):
    """Calls `arange`, indexing and `tensor` so that lazy tensors stay what they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func is torch.arange and len(args) == 2 and _lazy(args):
            return _range(*args, **kwargs)
        if func is Tensor.__getitem__:
            return _taken(*args)
        if func is torch.tensor and isinstance(args[0], Sequence) and _lazy(args[0]):
            return _stacked(args[0], kwargs.get("dtype"))
        return func(*args, **kwargs)


def _lazy(values: Iterable[Any]) -> bool:
    """Whether a number among these is a lazy tensor."""
    return any(isinstance(each, Tensor) and not each.dim() and each.device.type != "cpu" for each in values)


def _range(start: Any, end: Any, **more: Any) -> Tensor:
    count = torch.arange(int(end - start), **more)
    return count + start.to(count.dtype) if isinstance(start, Tensor) else count + start


def _taken(value: Tensor, index: Any) -> Any:
    """Take the slices first that begin where a lazy tensor says."""
    given = list(index) if isinstance(index, tuple) else [index]
    if any(each is None or each is Ellipsis or isinstance(each, Tensor) for each in given):
        return value[index]
    for dim, each in enumerate(given):
        if isinstance(each, slice) and _lazy([each.start]) and _inside(each, value.shape[dim]):
            place = _range(each.start, each.stop, device=each.start.device)
            value, given[dim] = value.index_select(dim, place), slice(None)
    return value[tuple(given)]


def _inside(part: slice, size: int) -> bool:
    """Whether a slice has both bounds, of entries that exist."""
    return part.stop is not None and part.step is None and 0 <= int(part.start) <= int(part.stop) <= size


def _stacked(values: Sequence[Any], dtype: torch.dtype | None) -> Tensor:
    """Return a tensor of numbers some of which are lazy tensors."""
    device = next(each.device for each in values if _lazy([each]))
    given = [each if isinstance(each, Tensor) else torch.full((), each, device=device) for each in values]
    stacked = torch.stack(given)
    return stacked if dtype is None else stacked.to(dtype)
