"""`torch.jit.trace` on the CPU: always there, and the reference for what a static graph is."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import CompileError, RequestError, first_line
from neuron_catalog.exporting.backends import float32
from neuron_catalog.exporting.backends.protocol import (
    Compilation,
    CompiledGraph,
    Examples,
    Placement,
    Settings,
    overwritten,
    require_no_placement,
)
from neuron_catalog.models.sources import quiet_transformers

FILE_NAME = "model.pt"
DEVICE = "CPU"
TIER: Tier = "traced"
APART = False
ROUNDING_FACTOR = 1.0
ABSOLUTE_BOUND = False

versions = float32.versions
unable_to_run = float32.unable_to_run
unable_to_load = float32.unable_to_load
completed = float32.completed
environment = float32.environment
unsupported = float32.unsupported


def unavailable() -> str:
    """TorchScript comes with torch."""
    return ""


def arguments(settings: Settings) -> dict[str, JsonValue]:  # noqa: ARG001
    """`check_trace` repeats the trace with the same inputs; validation with fresh ones replaces it."""
    return {"check_trace": False, "strict": True}


@dataclass(frozen=True)
class TorchScriptProgram:
    """A script module with a method for each graph. They run without recording gradients."""

    module: torch.jit.ScriptModule
    names: tuple[str, ...]
    copies: int = 1
    observed: Mapping[str, JsonValue] = field(default_factory=dict)

    @cached_property
    def graphs(self) -> dict[str, CompiledGraph]:
        return {name: _without_gradients(self._method(name)) for name in self.names}

    @property
    def weights(self) -> dict[str, Tensor]:
        return {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}

    def overwritten(self, new: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        return overwritten(self.weights, new)

    def _method(self, name: str) -> CompiledGraph:
        return self.module if name == "forward" else getattr(self.module, name)


def _without_gradients(method: CompiledGraph) -> CompiledGraph:
    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return method(*tensors)

    return run


def compile(compilation: Compilation) -> TorchScriptProgram:
    """Trace a module once for each set of shapes; weights are shared with it, not copied."""
    module, examples = compilation.module, compilation.examples
    try:
        with torch.no_grad(), quiet_jit(), _named(module, examples):
            traced = torch.jit.trace_module(module, dict(examples), check_trace=False, strict=True)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise CompileError(
            f"torch.jit.trace failed: {first_line(error)}",
            "Add --debug for the place in the model's code.",
        ) from error
    return TorchScriptProgram(traced, tuple(examples))


@contextmanager
def _named(module: nn.Module, examples: Examples) -> Iterator[None]:
    """Give a module its call under the names of functions that it lacks: a method is what jit traces."""
    others = [name for name in examples if not hasattr(module, name)]
    for name in others:
        setattr(module, name, module.__call__)
    try:
        yield
    finally:
        for name in others:
            delattr(module, name)


def save(program: TorchScriptProgram, path: Path) -> None:
    """Write code and weights into one file; tied weights are stored once."""
    try:
        with quiet_jit():
            torch.jit.save(program.module, str(path))
    except RuntimeError as error:
        if "Could not export" in str(error):
            raise CompileError(
                f"The traced graph cannot be saved: {first_line(error)}",
                "The model calls Python code that TorchScript cannot hold.",
            ) from error
        raise OSError(f"torch.jit.save: {first_line(error)}") from error


def load(path: Path, names: Iterable[str], placement: Placement | None = None) -> TorchScriptProgram:
    """Read graphs onto the CPU; they share their weights."""
    require_no_placement(placement)
    try:
        with quiet_jit():
            module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise RequestError(f"{path} is no TorchScript file: {first_line(error)}", "Export again.") from error
    program = TorchScriptProgram(module, tuple(names))
    missing = [name for name in program.names if not hasattr(module, name)]
    if missing:
        raise RequestError(f"{path} has no graph {missing[0]!r}.", "Export again.")
    return program


@contextmanager
def quiet_jit() -> Iterator[None]:
    """Silence warnings for one call of torch.jit.

    Tracing reads every attribute of a module, deprecated ones included, and warns of each tensor used as a
    number: in a sweep over 1,416 rows that matched eager the median row gave five such warnings. They tell
    nothing that the checks do not prove. torch.jit itself is deprecated upstream, which is known.
    """
    with warnings.catch_warnings(), quiet_transformers():
        warnings.simplefilter("ignore")
        yield
