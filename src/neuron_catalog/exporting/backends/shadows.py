"""Trace lazily with the values of the example inputs at hand.

Each lazy tensor has a shadow: what it is for the example inputs, computed on the CPU. A model that looks into
a tensor is told the shadow's value, as under `torch.jit.trace`; it is fixed in the graph then, and noted. The
checks on fresh inputs find out whether that was right. Nothing is executed on a device while tracing, which
would need one.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from neuron_catalog.exporting.backends import masks
from neuron_catalog.exporting.backends.decompositions import decompositions
from neuron_catalog.exporting.backends.places import model_line

aten = torch.ops.aten
CPU = torch.device("cpu")

READ = (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default)
"""Operators that give a Python value."""

COUNTED: dict[Any, Callable[..., Tensor]] = {
    aten.nonzero.default: masks.nonzero,
    aten.masked_select.default: masks.masked_select,
    aten.repeat_interleave.Tensor: masks.repeat_interleave,
}
"""Operators whose result has a size that depends on values → what computes the same for a known size."""

FIXED = (
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
    aten.bincount.default,
)
"""Operators that no graph of fixed shapes has, and whose result is taken as a constant."""

NO_COMPUTATION = aten._propagate_xla_data.default
"""torch-xla's own bookkeeping after a write."""

INDEX_PUTS = (aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)


SHADOWS: Any = WeakTensorKeyDictionary()
"""Lazy tensor → its shadow, as long as it lives: some models keep tensors from one trace to the next."""


class WriteError(RuntimeError):
    """A lazy value is to be written into a constant."""


class LazyTrace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls operators that XLA has, on lazy tensors, and keeps a shadow of each.

    Constants, which are computed from nothing else, stay on the CPU until a lazy tensor meets them.
    """

    def __init__(self, known: Iterable[tuple[Tensor, Tensor]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for lazy, value in known:
            SHADOWS[_inner(lazy)] = value
        self.fixed: dict[str, str] = {}
        """Line of code → the operator whose result was fixed there."""
        self._depth = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        lazy = _lazy_device(args, kwargs)
        if lazy is None:
            return func(*args, **kwargs)
        if func is NO_COMPUTATION:
            return func(*args, **kwargs)
        plain = decompositions().get(func)
        if plain is not None:
            with self._once_more():
                given = plain(*args, **kwargs)
            if given is not NotImplemented:
                return given
        known = tree_map(self._known, (args, kwargs))
        values = _on_cpu(func)(*known[0], **known[1])
        given = self._given(func, args, kwargs, known, values, lazy)
        for each, value in zip(tree_leaves(given), tree_leaves(values), strict=True):
            if isinstance(each, Tensor) and each.device != CPU:
                SHADOWS[_inner(each)] = value
        made = not self._depth and not any(_is_lazy(each) for each in tree_leaves((args, kwargs)))
        return tree_map_only(Tensor, _wrapped, given) if made else given

    @contextmanager
    def _once_more(self) -> Iterator[None]:
        """See the operators too that one is written out in."""
        self._depth += 1
        try:
            with self:
                yield
        finally:
            self._depth -= 1

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Call an operator on lazy tensors."""
        return func(*args, **kwargs)

    def _given(self, func: Any, args: Any, kwargs: Any, known: Any, values: Any, lazy: torch.device) -> Any:
        """Return what an operator gives on lazy tensors; `values` is what it gives on their shadows."""
        if func in READ or (func is aten._to_copy.default and kwargs.get("device") == CPU):
            self._note(func)
            return values
        if func in FIXED:
            self._note(func)
            return tree_map_only(Tensor, lambda each: each.to(lazy), values)
        if func._schema.is_mutable and isinstance(args[0], Tensor) and args[0].device == CPU:
            raise WriteError(f"{func.name()} writes into a constant")
        args, kwargs = tree_map_only(Tensor, lambda each: each.to(lazy), (args, kwargs))
        with self._once_more():
            if func in COUNTED:
                self._note(func)
                return COUNTED[func](*args[: _tensors(args)], values)
            chosen = _masks(args[1]) if func in (aten.index.Tensor, *INDEX_PUTS) else ()
            if chosen and func is aten.index.Tensor:
                self._note(func)
                return args[0][tuple(_or_all(each) for each in masks.places(args[1], known[0][1]))]
            if chosen and len(args[1]) == 1 and not any(args[3:4]):
                new = masks.put(args[0], args[1][0], args[2])
                return new if func is aten.index_put.default else args[0].copy_(new)
        return self.call(func, args, kwargs)

    def _known(self, each: Any) -> Any:
        """Return the shadow of a lazy tensor, and the CPU for its device; anything else as it is."""
        if isinstance(each, torch.device):
            return CPU
        if not isinstance(each, Tensor) or each.device == CPU:
            return each
        if each not in SHADOWS:
            SHADOWS[each] = each.to(CPU)  # a constant, of which torch tells no mode; nothing is computed
        return SHADOWS[each]

    def _note(self, func: Any) -> None:
        self.fixed.setdefault(model_line(traceback.extract_stack()), func.name().partition(".")[0])


def _on_cpu(func: Any) -> Any:
    """Return what an operator is called on the CPU, where tensors have strides and XLA's own do not exist."""
    if func is aten.view.default:
        return torch.reshape
    return torch.max_pool2d if func.name() == "xla::max_pool2d_forward" else func


def _inner(tensor: Tensor) -> Tensor:
    """Return the tensor that operators are called with: XLA's are wrapped, so that writes become results."""
    return torch._from_functional_tensor(tensor) if torch._is_functional_tensor(tensor) else tensor


def _wrapped(made: Tensor) -> Tensor:
    """Return a new lazy tensor as XLA's are outside of a mode. Writes into parts of others are lost."""
    plain = not _is_lazy(made) or torch._is_functional_tensor(made)
    return made if plain else torch._to_functional_tensor(made)


def _is_lazy(each: Any) -> bool:
    return isinstance(each, Tensor) and each.device.type not in ("cpu", "meta")


def _lazy_device(args: Any, kwargs: Any) -> torch.device | None:
    for each in tree_leaves((args, kwargs)):
        device = each.device if isinstance(each, Tensor) else each
        if isinstance(device, torch.device) and device.type not in ("cpu", "meta"):
            return device
    return None


def _tensors(args: Iterable[Any]) -> int:
    """How many of the first arguments are tensors."""
    return sum(isinstance(each, Tensor) for each in args)


def _masks(indices: Iterable[Tensor | None]) -> list[Tensor]:
    return [each for each in indices if each is not None and each.dtype in (torch.bool, torch.uint8)]


def _or_all(index: Tensor | None) -> Any:
    return slice(None) if index is None else index
