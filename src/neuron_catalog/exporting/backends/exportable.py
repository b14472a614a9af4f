"""Ways to make an exported program of a module, the plainest first; the next is asked where one refuses.

torch.export follows Python code with tensors that have shapes and no values. Code that decides by values is
refused, even if the values are fixed: the grid of an image whose size was chosen, a stride kept in a buffer.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses import fake_tensor
from torch.export import ExportedProgram

from neuron_catalog.exporting.backends.protocol import CompiledGraph
from neuron_catalog.exporting.backends.undisturbed import Holder, holders, undisturbed
from neuron_catalog.models.sources import quiet_transformers

REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What torch.export raises for a model that it cannot follow, whatever the reason."""

MOST_KNOWN = 4096
"""Tensors with more numbers than these are no settings of a model, and their values are not followed."""

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)

Example = tuple[Tensor, ...]


class Called(nn.Module):
    """A module that is called by another function: the one with the very same layers, weights and names."""

    def __init__(self, module: nn.Module, function: Callable[..., Any]) -> None:
        vars(self).update(vars(module))
        self.forward = function


def plain(module: nn.Module, function: CompiledGraph, example: Example) -> ExportedProgram:
    """Ask torch.export."""
    with _followed(module):
        return torch.export.export(Called(module, function), example, strict=False)


def with_known_numbers(module: nn.Module, function: CompiledGraph, example: Example) -> ExportedProgram:
    """Ask torch.export, and let it compute what follows from whole numbers that the model keeps.

    Those made while the code is followed have values, so they are made anew there. torch keeps the values of
    what is computed from them for single numbers only; a grid has a few more.
    """
    kept = [(holder, name, value.tolist(), value.dtype) for holder, name, value in _whole_numbers(module)]

    def knowing(*tensors: Tensor) -> tuple[Tensor, ...]:
        before = [(holder, name, holder[name]) for holder, name, _, _ in kept]
        for holder, name, value, dtype in kept:
            holder[name] = torch.tensor(value, dtype=dtype)
        try:
            return function(*tensors)
        finally:
            for holder, name, tensor in before:
                holder[name] = tensor

    with mock.patch.object(fake_tensor, "CONSTANT_NUMEL_LIMIT", MOST_KNOWN):
        return plain(module, knowing, example)


def _whole_numbers(module: nn.Module) -> Iterator[tuple[Holder, str, Tensor]]:
    """Yield small tensors of whole numbers that are in no checkpoint, with what holds each by which name."""
    for layer in module.modules():
        lasting = layer._buffers.keys() - layer._non_persistent_buffers_set
        for holder in holders(layer):
            for name, value in holder.items():
                whole = type(value) is Tensor and value.dtype in WHOLE and value.numel() <= MOST_KNOWN
                if whole and not (holder is layer._buffers and name in lasting):
                    yield holder, name, value


def by_transformers(module: nn.Module, function: CompiledGraph, example: Example) -> ExportedProgram:
    """Ask the exporter of transformers, which replaces code of some models that torch cannot follow.

    It wants inputs by name.

    Raises:
        ImportError: if the installed torch or transformers is too old for it.
    """
    from transformers.exporters import DynamoConfig, DynamoExporter

    inputs = {f"input_{number}": tensor for number, tensor in enumerate(example)}
    by_name = Called(module, lambda **named: function(*named.values()))
    with _followed(module):
        given = DynamoExporter().export(by_name, inputs, DynamoConfig(dynamic=False))
    program: ExportedProgram = given.program
    return program


WAYS: dict[str, Callable[[nn.Module, CompiledGraph, Example], ExportedProgram]] = {
    "torch.export": plain,
    "torch.export with known whole numbers": with_known_numbers,
    "transformers.exporters.DynamoExporter": by_transformers,
}
"""Name for the record → way, in the order in which they are tried."""


@contextmanager
def _followed(module: nn.Module) -> Iterator[None]:
    """Leave a module as it was, and be quiet: torch prints the graph of what it refuses."""
    with undisturbed(module), quiet(), redirect_stderr(io.StringIO()), torch.no_grad():
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings and logs for one call of torch.export: what it refuses is raised as well."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(before)
