"""What tracing needs for some architectures: each cure is entered for one export and undone after it.

A cure changes how a model is written, never what it computes: the eager reference runs without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional


class _Context:
    """Stands in for autograd's context in a forward that will never be followed by a backward."""

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        """Forget the tensors."""


@contextmanager
def plain_autograd(model: nn.Module) -> Iterator[None]:
    """Call the forward of custom autograd functions directly; TorchScript cannot save a call of `apply`.

    Concerns the functions defined in the modules that the model's layers come from.
    """
    modules = {type(layer).__module__ for layer in model.modules()}
    with ExitStack() as stack:
        for function in _subclasses(torch.autograd.Function):
            if function.__module__ in modules:
                stack.enter_context(mock.patch.object(function, "apply", _direct(function)))
        yield


def _direct(function: Any) -> Callable[..., Any]:
    def apply(*arguments: Any) -> Any:
        return function.forward(_Context(), *arguments)

    return apply


def _subclasses(cls: Any) -> Iterator[Any]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


@contextmanager
def integer_padding(model: nn.Module) -> Iterator[None]:  # noqa: ARG001
    """Give one-dimensional convolutions their padding as an integer.

    While a model is traced, a padding computed from the shape of a kernel is a tensor, which torch 2.9
    refuses ("expected padding to be a single integer value"); torch 2.13 does not. Kernels have fixed shapes.
    """
    convolve = functional.conv1d

    def conv1d(*arguments: Any, **named: Any) -> torch.Tensor:
        if isinstance(named.get("padding"), torch.Tensor):
            named["padding"] = int(named["padding"])
        return convolve(*arguments, **named)

    with mock.patch.object(functional, "conv1d", conv1d):
        yield


@contextmanager
def integer_scalars(model: nn.Module) -> Iterator[None]:  # noqa: ARG001
    """Write true and false as 1 and 0 where a tensor is filled with them; the tracer has no such operator."""

    def full_like(value: torch.Tensor, fill: Any, **named: Any) -> torch.Tensor:
        return _full_like(value, int(fill) if isinstance(fill, bool) else fill, **named)

    def scatter(
        value: torch.Tensor, dim: int, index: torch.Tensor, *source: Any, **named: Any
    ) -> torch.Tensor:
        plain = (int(each) if isinstance(each, bool) else each for each in source)
        named = {name: int(each) if isinstance(each, bool) else each for name, each in named.items()}
        return _scatter(value, dim, index, *plain, **named)

    _full_like, _scatter = torch.full_like, torch.Tensor.scatter
    with (
        mock.patch.object(torch, "full_like", full_like),
        mock.patch.object(torch.Tensor, "scatter", scatter),
    ):
        yield


@contextmanager
def rounded_shapes(model: nn.Module) -> Iterator[None]:  # noqa: ARG001
    """Let the sizes of tensors be rounded, which are tensors while a model is traced: shapes are fixed."""

    def rounded(value: torch.Tensor, digits: int | None = None) -> float:
        return round(value.item(), digits)

    with mock.patch.object(torch.Tensor, "__round__", rounded, create=True):
        yield


@contextmanager
def broadcast_masks(model: nn.Module) -> Iterator[None]:  # noqa: ARG001
    """Compute attention masks by broadcasting indices; the tracer does not know `torch.vmap`."""
    from transformers import masking_utils  # it takes a second to import, for who compiles

    def broadcast(mask_function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def mask(
            batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
        ) -> torch.Tensor:
            given = mask_function(*masking_utils._non_vmap_expansion_sdpa(batch, head, query, key))
            return given.expand(len(batch), len(head), len(query), len(key))

        return mask

    with (
        mock.patch.object(masking_utils, "_vmap_expansion_sdpa", broadcast),
        mock.patch.object(masking_utils, "TransformGetItemToIndex", nullcontext),
    ):
        yield


@contextmanager
def batched_experts(model: Any) -> Iterator[None]:
    """Have every expert see every token it may get in one product; loops over the experts in use are data."""
    before = model.config._experts_implementation
    model.set_experts_implementation("batched_mm")
    try:
        yield
    finally:
        model.set_experts_implementation(before)


@contextmanager
def every_expert(model: Any) -> Iterator[None]:
    """Have a loop over the experts in use go over all of them: those without a token add nothing.

    It is for models whose experts cannot be batched. Those in use are found by `nonzero` of a truth value
    for each, and one more for tokens without an expert.
    """
    settings = model.config.get_text_config().to_dict()
    counts = {value for key, value in settings.items() if "experts" in key and type(value) is int}
    nonzero = torch.Tensor.nonzero

    def all_of(tensor: torch.Tensor, **how: Any) -> Any:
        asked = (
            not how
            and tensor.dim() == 1
            and tensor.dtype == torch.bool
            and {len(tensor), len(tensor) - 1} & counts
        )
        return (
            torch.arange(len(tensor), device=tensor.device).unsqueeze(-1) if asked else nonzero(tensor, **how)
        )

    with mock.patch.object(torch.Tensor, "nonzero", all_of):
        yield


CURES: dict[str, Callable[[nn.Module], AbstractContextManager[None]]] = {
    "plain_autograd": plain_autograd,
    "integer_padding": integer_padding,
    "integer_scalars": integer_scalars,
    "rounded_shapes": rounded_shapes,
    "broadcast_masks": broadcast_masks,
    "batched_experts": batched_experts,
    "every_expert": every_expert,
}
"""Word in the YAML → context manager over the model."""


@contextmanager
def cured(model: nn.Module, names: Iterable[str]) -> Iterator[None]:
    """Enter all cures that an architecture names."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(CURES[name](model))
        yield
