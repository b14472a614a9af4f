"""Make models of transformers take part in lazy tracing, as torch-xla and torch-neuronx do it.

A lazy tracer calls the model with tensors whose values are not there yet. Whoever asks for a value makes it
be computed, and what follows from it is baked into the graph. Both backends therefore trace in here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from transformers.utils import import_utils

from neuron_catalog.exporting.backends import decompositions
from neuron_catalog.exporting.backends.bounds import LazyBounds


class Function(nn.Module):
    """One function of a module, as a module of its own: what lazy tracers and exporters take."""

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module = module
        self.name = name

    def forward(self, *tensors: Tensor) -> Any:
        return self.of(self.module, self.name)(*tensors)

    @staticmethod
    def of(module: nn.Module, name: str) -> Callable[..., Any]:
        """Return the function of a name: the attribute, or the module's call if it has none."""
        function: Callable[..., Any] = getattr(module, name, module)
        return function


@contextmanager
def traced_lazily() -> Iterator[None]:
    """Let models know that they are traced: they then take the ways that hold for all values.

    transformers asks torch.jit and dynamo whether it is traced, but not a lazy tracer, and would look into
    masks otherwise. Checks of values are left out, as they are under `torch.jit.trace`. Experts see every
    token in one product: the usual way counts the tokens of each, which XLA cannot.
    """
    from transformers.integrations import moe  # half of what transformers takes to import, for who compiles

    with (
        torch.no_grad(),
        mock.patch.object(import_utils, "is_jit_tracing", return_value=True),
        mock.patch.object(torch, "_check_tensor_all", return_value=None),
        mock.patch.object(torch, "einsum", decompositions.einsum),
        mock.patch.object(Tensor, "__format__", _written),
        mock.patch.dict(moe.ALL_EXPERTS_FUNCTIONS._local_mapping, grouped_mm=moe.batched_mm_experts_forward),
        LazyBounds(),
    ):
        yield


def _written(tensor: Tensor, form: str) -> str:
    """Write a number as one, since models name parts by numbers; of other tensors messages get the shape."""
    return str(tuple(tensor.shape)) if tensor.dim() else format(tensor.item(), form)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return all weights and buffers by name; those that share storage are one and the same object."""
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    first: dict[tuple[Any, ...], Tensor] = {}
    return {name: first.setdefault(_place(tensor), tensor) for name, tensor in named}


def first_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return name → the first name of the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """What two names of one tensor have in common; empty tensors have no storage to share."""
    shared = tensor.data_ptr() or id(tensor)
    return shared, tensor.dtype, tuple(tensor.shape), tensor.stride()
