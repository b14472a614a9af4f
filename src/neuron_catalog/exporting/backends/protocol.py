"""The functions that each backend module offers, and a compiled graph that takes any batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import RequestError

CompiledGraph = Callable[..., tuple[Tensor, ...]]
"""Positional tensors of fixed shapes in, a flat tuple of tensors out."""

Examples = Mapping[str, tuple[Tensor, ...]]
"""Name of a graph → tensors of the shapes that it is compiled for."""


StatePlace = tuple[int, int]
"""The number of an input, and of the output that is its new value."""

Setting = bool | int | float | str


@dataclass(frozen=True)
class Settings:
    """What a compiler is told beside the module."""

    asked: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the caller wants, such as `auto_cast`; the backend said before that it can do it."""
    facts: Mapping[str, Setting] = field(default_factory=dict)
    """What the catalog says of the architecture, such as `model_type: transformer`."""
    dynamic_batch: bool = False
    """Whether the artifact is to serve any number of rows."""


@dataclass(frozen=True)
class Placement:
    """Where graphs are loaded to, on a machine with several cores of an accelerator."""

    first_core: int | None = None
    """Counted from 0 among those that the process sees; None for the runtime's choice."""
    cores: int = 1
    """How many cores get a copy each, among which the rows of a call are split."""


@dataclass(frozen=True)
class Compilation:
    """What is to be compiled: a module, once for each set of shapes."""

    module: nn.Module
    """What holds the weights. A graph is its attribute by that name; if it has none, its call."""
    examples: Examples
    states: Mapping[str, tuple[StatePlace, ...]] = field(default_factory=dict)
    """Name of a graph → where each state is that it updates."""
    settings: Settings = Settings()
    unfinished: Path | None = None
    """A folder where each graph is kept that took long to compile, for when a later one ends the process."""
    same_graphs: Path | None = None
    """A folder with these graphs, compiled with other weights that are apart from them."""


def require_no_placement(placement: Placement | None) -> None:
    """Refuse to place graphs on cores, where there are none to choose from.

    Raises:
        RequestError: if a placement is given.
    """
    if placement is not None:
        raise RequestError(
            "The artifact was not compiled for NeuronCores, and is to be placed on some.",
            "Leave first_core and cores out.",
        )


@contextmanager
def overwritten(own: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> Iterator[None]:
    """Write new values into tensors; put the old ones back if anything goes wrong."""
    old = {name: own[name].clone() for name in new}
    with ExitStack() as undo:
        undo.callback(_write, own, old)
        _write(own, new)
        yield
        undo.pop_all()


def _write(own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)


class Program(Protocol):
    """What a backend made of a module: graphs for several sizes with one set of weights."""

    @property
    def graphs(self) -> Mapping[str, CompiledGraph]:
        """Name → graph."""

    @property
    def weights(self) -> Mapping[str, Tensor] | None:
        """Name in the traced module → tensor, with `requires_grad` if it is a parameter; None if they are
        compiled in. One that the device alone holds is on "meta"."""

    def overwritten(self, new: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Take other weights, by name; if what is done in the context fails, the old ones are back."""

    @property
    def copies(self) -> int:
        """On how many equal shares of the rows a graph works at a time; more than one takes so many times the
        rows that it was compiled for."""

    @property
    def observed(self) -> Mapping[str, JsonValue]:
        """Name of a graph → what was seen of it while it was compiled, for the record."""


class Backend(Protocol):
    """What each backend module offers."""

    FILE_NAME: str
    """What a compiled graph is called in an artifact."""
    DEVICE: str
    """Where the graph runs, for people."""
    TIER: Tier
    """What a passed selftest with this backend proves."""
    APART: bool
    """Whether it compiles in a process of its own, which may crash without harm."""
    ROUNDING_FACTOR: float
    """How much further than usual its kernels may differ from torch's own."""
    ABSOLUTE_BOUND: bool
    """Whether a difference up to the plan's atol is accepted too, as on devices of lower precision."""

    def unavailable(self) -> str:
        """Return why this backend cannot be used here, or an empty string."""

    def unable_to_load(self, arguments: Mapping[str, JsonValue], versions: Mapping[str, str]) -> str:
        """Return why a graph that was compiled so cannot be loaded here, or an empty string."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that decide about the result."""

    def unable_to_run(self) -> str:
        """Return why what it compiles cannot be run on this machine, or an empty string."""

    def environment(self, settings: Settings) -> dict[str, str]:
        """Return what is set in the environment of a process that compiles, where it is one of its own."""

    def arguments(self, settings: Settings) -> dict[str, JsonValue]:
        """Return what `compile` passes to the compiler, for the record."""

    def completed(self, asked: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return the caller's options with those that follow from them or from this machine.

        Raises:
            RequestError: if one is missing.
        """

    def unsupported(self, option: str, value: JsonValue) -> str:
        """Return why this backend cannot honour a compiler option, or an empty string."""

    def compile(self, compilation: Compilation) -> Program:
        """Compile a module once for each set of shapes; the graphs share one set of weights.

        Raises:
            CompileError: with the cause, if the compiler refuses.
        """

    def save(self, program: Program, path: Path) -> None:
        """Write all graphs and their weights into one file.

        Raises:
            RequestError: if it cannot be written.
        """

    def load(self, path: Path, names: Iterable[str], placement: Placement | None = None) -> Program:
        """Read the graphs of these names.

        Raises:
            RequestError: if the file is none of this backend, or lacks one of them, or they cannot be placed
                so.
        """


@dataclass(frozen=True)
class DynamicBatch:
    """Serves any batch with a graph of a fixed one: splits, pads the last piece, runs, joins and cuts.

    It is right only where rows are independent, which validation checks. All inputs and outputs must have
    the batch as their first dimension.
    """

    graph: CompiledGraph
    batch_size: int
    each: Callable[..., Iterable[tuple[Tensor, ...]]] = map
    """Applies the graph to the pieces, in order: one after the other, or several at a time."""

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        rows = tensors[0].shape[0]
        if rows == self.batch_size:
            return self.graph(*tensors)
        starts = range(0, rows, self.batch_size)
        pieces = ([self._filled(t[start : start + self.batch_size]) for start in starts] for t in tensors)
        outputs = self.each(self.graph, *pieces)
        return tuple(torch.cat(parts)[:rows] for parts in zip(*outputs, strict=True))

    def _filled(self, piece: Tensor) -> Tensor:
        """Repeat the last row until the batch is full: real data, so nothing new can go wrong."""
        lacking = self.batch_size - piece.shape[0]
        return torch.cat([piece, piece[-1:].expand(lacking, *piece.shape[1:])]) if lacking else piece
