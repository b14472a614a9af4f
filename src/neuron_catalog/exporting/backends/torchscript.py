"""`torch.jit.trace` on the CPU: always there, and the reference for what a static graph is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from pydantic import JsonValue
from torch import Tensor, nn

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import CompileError, RequestError, first_line
from neuron_catalog.exporting.backends.protocol import CompiledGraph
from neuron_catalog.models.sources import quiet_transformers

FILE_NAME = "model.pt"
DEVICE = "CPU"
TIER: Tier = "traced"
ABSOLUTE_BOUND = False


def unavailable() -> str:
    """TorchScript comes with torch."""
    return ""


def versions() -> dict[str, str]:
    """Return the versions of torch, which traces, and of transformers, which holds the model code."""
    return {"torch": torch.__version__, "transformers": transformers.__version__}


def arguments() -> dict[str, JsonValue]:
    """`check_trace` repeats the trace with the same inputs; validation with fresh ones replaces it."""
    return {"check_trace": False, "strict": True}


def compile(module: nn.Module, example: tuple[Tensor, ...]) -> CompiledGraph:
    """Trace `module` once; weights are shared with it, not copied."""
    try:
        with torch.no_grad(), _quiet_jit():
            return torch.jit.trace(module, example, check_trace=False, strict=True)  # type: ignore[no-any-return,no-untyped-call]
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise CompileError(
            f"torch.jit.trace failed: {first_line(error)}",
            "Add --debug for the place in the model's code.",
        ) from error


def save(graph: CompiledGraph, path: Path) -> None:
    """Write code and weights into one file; tied weights are stored once."""
    assert isinstance(graph, torch.jit.ScriptModule)
    try:
        with _quiet_jit():
            torch.jit.save(graph, str(path))
    except RuntimeError as error:
        if "Could not export" in str(error):
            raise CompileError(
                f"The traced graph cannot be saved: {first_line(error)}",
                "The model calls Python code that TorchScript cannot hold.",
            ) from error
        raise OSError(f"torch.jit.save: {first_line(error)}") from error


def load(path: Path) -> CompiledGraph:
    """Read a graph onto the CPU."""
    try:
        with _quiet_jit():
            graph = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise RequestError(f"{path} is no TorchScript file: {first_line(error)}", "Export again.") from error
    return _NoGrad(graph)


class _NoGrad:
    """Runs a loaded graph without recording gradients."""

    def __init__(self, graph: torch.jit.ScriptModule) -> None:
        self._graph = graph

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return self._graph(*tensors)  # type: ignore[no-any-return]


@contextmanager
def _quiet_jit() -> Iterator[None]:
    """Silence warnings for one call of torch.jit.

    Tracing reads every attribute of a module, deprecated ones included, and warns of each tensor used as a
    number: in a sweep over 1,416 rows that matched eager the median row gave five such warnings. They tell
    nothing that the checks do not prove. torch.jit itself is deprecated upstream, which is known.
    """
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        yield
