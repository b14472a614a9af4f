"""`torch.export` on the CPU: the programs that `torch.compile` and compilers of PyTorch 2 begin with.

The model's Python code is followed with tensors that have shapes and no values, so code that decides by
values is refused unless one of the `WAYS` of `exportable` helps. A graph keeps the operators of the eager
model, those that write in place too: states come out as from TorchScript.

What the file holds, and that reading it unpickles nothing, is told in `pt2`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import CompileError, RequestError, first_line
from neuron_catalog.exporting.backends import float32, pt2
from neuron_catalog.exporting.backends.exportable import REFUSALS, WAYS, quiet
from neuron_catalog.exporting.backends.protocol import (
    Compilation,
    CompiledGraph,
    Placement,
    Settings,
    overwritten,
    require_no_placement,
)

FILE_NAME = "model.pt2"
DEVICE = "CPU"
TIER: Tier = "traced"
APART = False
ROUNDING_FACTOR = 1.0
ABSOLUTE_BOUND = False
TORCH = Path(torch.__file__).parent

versions = float32.versions
unable_to_run = float32.unable_to_run
unable_to_load = float32.unable_to_load
completed = float32.completed
environment = float32.environment
unsupported = float32.unsupported


def unavailable() -> str:
    """torch.export comes with torch."""
    return ""


def arguments(settings: Settings) -> dict[str, JsonValue]:  # noqa: ARG001
    """Without `strict`, Python itself runs the model's code; there are no dynamic shapes."""
    return {"strict": False, "dynamic_shapes": None}


@dataclass(frozen=True)
class StaticGraph:
    """A program that runs without recording gradients, for tensors of its shapes and types only."""

    module: Callable[..., tuple[Tensor, ...]]
    names: tuple[str, ...]
    """What its inputs are called, if they are given by name."""
    signature: tuple[tuple[torch.Size, torch.dtype], ...]

    @classmethod
    def of(cls, program: ExportedProgram) -> StaticGraph:
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        inputs = [values[name] for name in program.graph_signature.user_inputs]
        _, named = pytree.tree_unflatten(range(len(inputs)), program.call_spec.in_spec)
        signature = tuple((value.shape, value.dtype) for value in inputs)
        # Guards would be source code that is read from the file; the signature says the same.
        return cls(program.module(check_guards=False), tuple(named), signature)

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
        if given != self.signature:
            told = [", ".join(f"{tuple(s)} {t}" for s, t in each) for each in (given, self.signature)]
            raise ValueError(f"the graph was given {told[0]}; it takes {told[1]}")
        with torch.no_grad():
            if self.names:
                return self.module(**dict(zip(self.names, tensors, strict=True)))
            return self.module(*tensors)


@dataclass(frozen=True)
class TorchExportProgram:
    """An exported program for each graph; they share their weights."""

    programs: Mapping[str, ExportedProgram]
    observed: Mapping[str, JsonValue] = field(default_factory=dict)
    copies: int = 1

    @cached_property
    def graphs(self) -> dict[str, CompiledGraph]:
        with quiet():
            return {name: StaticGraph.of(program) for name, program in self.programs.items()}

    @property
    def weights(self) -> dict[str, Tensor]:
        return dict(next(iter(self.programs.values())).state_dict)

    def overwritten(self, new: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        return overwritten(self.weights, new)


def compile(compilation: Compilation) -> TorchExportProgram:
    """Export a module once for each set of shapes; weights are shared with it, not copied."""
    module, observed = compilation.module, {}
    programs: dict[str, ExportedProgram] = {}
    for name, example in compilation.examples.items():
        function = getattr(module, name, module.forward)
        programs[name], observed[name] = _exported(module, function, example)
        _tidy(programs[name])
    return TorchExportProgram(programs, observed)


def _exported(
    module: nn.Module, function: CompiledGraph, example: tuple[Tensor, ...]
) -> tuple[ExportedProgram, str]:
    """Return a program, and which way led to it.

    Raises:
        CompileError: with what torch said first, if none does.
    """
    refusals = []
    for name, exported in WAYS.items():
        try:
            return exported(module, function, example), name
        except (ImportError, *REFUSALS) as error:
            refusals.append(error)
    raise CompileError(
        f"torch.export failed at {_place(refusals[0])}: {first_line(refusals[0])}",
        "Take the backend torchscript; --debug shows how it came there.",
    ) from refusals[0]


def _place(refusal: Exception) -> str:
    """Return the last line of code that was not torch's own."""
    frames = traceback.extract_tb(refusal.__traceback__)
    last = next(each for each in reversed(frames) if TORCH not in Path(each.filename).parents)
    return f"{Path(last.filename).name}:{last.lineno}"


def _tidy(program: ExportedProgram) -> None:
    """Drop examples, lines of source files, and questions for known numbers, which a file cannot hold."""
    program.example_inputs = None
    for graph in program.graph_module.modules():
        for node in list(graph.graph.nodes) if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
            if node.target is torch.ops.aten.item.default and not node.users:
                node.graph.erase_node(node)


def save(program: TorchExportProgram, path: Path) -> None:
    """Write all programs into one file; weights, tied ones too, are stored once.

    torch cannot read back every program with a shape that depends on values, so such a one is tried.
    """
    try:
        with quiet():
            pt2.write(program.programs, path)
            if any(map(_depends_on_values, program.programs.values())):
                pt2.read(path)
    except REFUSALS as error:
        if "PytorchStreamWriter" in str(error):
            raise OSError(f"torch.export.save: {first_line(error)}") from error
        raise CompileError(
            f"The exported program cannot be saved: {first_line(error)}", "Take the backend torchscript."
        ) from error


def _depends_on_values(program: ExportedProgram) -> bool:
    values = (node.meta.get("val") for node in program.graph.nodes)
    return any(
        not isinstance(size, int) for each in values if isinstance(each, Tensor) for size in each.shape
    )


def load(path: Path, names: Iterable[str], placement: Placement | None = None) -> TorchExportProgram:
    """Read programs onto the CPU; they share their weights."""
    require_no_placement(placement)
    try:
        with quiet():
            programs = pt2.read(path)
    except (*REFUSALS, OSError) as error:
        raise RequestError(
            f"{path} holds no programs of torch.export: {first_line(error)}", "Export again."
        ) from error
    chosen = {name: programs.get(name) for name in names}
    for name, program in chosen.items():
        if program is None:
            raise RequestError(f"{path} has no graph {name!r}.", "Export again.")
    return TorchExportProgram({name: program for name, program in chosen.items() if program})
