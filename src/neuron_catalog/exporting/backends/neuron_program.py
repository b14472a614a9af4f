"""What `torch_neuronx.trace` made of a module: compiled modules, in files, and loaded onto NeuronCores."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue, ValidationError
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from neuron_catalog.digests import FileRecord, alteration, record_file
from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.exporting.backends.device_states import StatefulGraph
from neuron_catalog.exporting.backends.lazily import tensors_of
from neuron_catalog.exporting.backends.neuron_failures import load_failure
from neuron_catalog.exporting.backends.protocol import CompiledGraph, Placement, StatePlace
from neuron_catalog.exporting.backends.torchscript import quiet_jit
from neuron_catalog.parts import Record

RECORD = "neuron.json"
"""What lies beside the graphs, and says which file holds which."""


class GraphRecord(Record):
    """One compiled graph."""

    file: str
    states: tuple[StatePlace, ...] = ()


class WeightRecord(Record):
    """A weight that lies beside the graph."""

    shape: tuple[int, ...]
    dtype: str
    is_parameter: bool

    def tensor(self) -> Tensor:
        """Return a tensor without values."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return torch.empty(self.shape, dtype=dtype, device="meta", requires_grad=self.is_parameter)


class ProgramRecord(Record):
    """The content of `neuron.json`."""

    graphs: dict[str, GraphRecord]
    weights: dict[str, WeightRecord] | None
    """Name in the traced module → weight; None if weights are compiled in."""

    @classmethod
    def read(cls, path: Path, names: Iterable[str]) -> ProgramRecord:
        """Read which file holds which graph; without that, as of other exporters, it is the one at the path.

        Raises:
            RequestError: if it cannot be read, or lacks a graph.
        """
        file = path.with_name(RECORD)
        if not file.is_file():
            return cls(graphs={name: GraphRecord(file=path.name) for name in names}, weights=None)
        try:
            record = cls.model_validate_json(file.read_bytes())
            return record.model_copy(update={"graphs": {name: record.graphs[name] for name in names}})
        except (ValueError, ValidationError, KeyError) as error:
            raise RequestError(f"{file} is damaged: {first_line(error)}", "Export again.") from error


def files_of(names: Iterable[str], file: str) -> dict[str, str]:
    """Return graph → the name of its file: the given one, or one each if there are several graphs."""
    graphs = list(names)
    return {name: file if len(graphs) == 1 else f"{name}.neuron" for name in graphs}


def weight_records(module: nn.Module) -> dict[str, WeightRecord]:
    """Describe the weights and buffers of a module."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return {
        name: WeightRecord(
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            is_parameter=name in parameters,
        )
        for name, tensor in tensors_of(module).items()
    }


@dataclass(frozen=True)
class NeuronProgram:
    """Compiled modules, as `torch_neuronx.trace` gives them and `torch.jit` stores them."""

    scripts: dict[str, Any]
    """Name of a file → the module in it. It may hold several graphs."""
    record: ProgramRecord
    reload: Callable[[], dict[str, Any]] | None = None
    """Reads the modules anew; None before they are stored."""
    copies: int = 1
    observed: Mapping[str, JsonValue] = field(default_factory=dict)

    @cached_property
    def graphs(self) -> dict[str, CompiledGraph]:
        issued: Any = WeakTensorKeyDictionary()
        return {name: self._graph(each, issued) for name, each in self.record.graphs.items()}

    @cached_property
    def weights(self) -> dict[str, Tensor] | None:
        """Weights are on the device; what is told of them is their shapes."""
        if self.record.weights is None:
            return None
        return {name: each.tensor() for name, each in self.record.weights.items()}

    @contextmanager
    def overwritten(self, new: Mapping[str, Tensor]) -> Iterator[None]:
        """Have torch-neuronx replace the weights; the old ones come back from the files."""
        import torch_neuronx

        with ExitStack() as undo:
            undo.callback(self._read_again)
            for script in self.scripts.values():
                torch_neuronx.replace_weights(script, _inner(new))
            yield
            undo.pop_all()

    def _read_again(self) -> None:
        if self.reload:
            self.scripts.update(self.reload())

    def _graph(self, record: GraphRecord, issued: Any) -> CompiledGraph:
        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                given = self.scripts[record.file](*tensors)
            return (given,) if isinstance(given, Tensor) else tuple(given)

        if not record.states:
            return run
        states = list(self.scripts[record.file].parameters())[: len(record.states)]
        return StatefulGraph(run, states, record.states, issued)


def with_weights(file: Path, module: nn.Module) -> Any:
    """Read a compiled module, and put the weights of another one of the same architecture into it.

    Return nothing if it is not there any more.
    """
    import torch_neuronx

    try:
        with quiet_jit():
            script: Any = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ValueError):
        return None
    torch_neuronx.replace_weights(script, _inner(tensors_of(module)))
    return script


def _inner(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names that they have in what was traced."""
    return {f"module.{name}": tensor for name, tensor in weights.items()}


@dataclass(frozen=True)
class KeptGraph:
    """One compiled graph of several, which is kept until all are."""

    script: Any
    """The module, or the file where it is kept."""
    fixed: dict[str, str]
    """Line of code → the operator whose result was fixed there."""

    @classmethod
    def found(cls, folder: Path, file: str) -> KeptGraph | None:
        """Return what was kept in a folder under the name of a file."""
        try:
            said = json.loads((folder / f"{file}.json").read_bytes())
            recorded = FileRecord.model_validate(said["file"])
            whole = not alteration(folder / file, recorded)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return cls(folder / file, said["fixed"]) if whole else None

    def kept(self, folder: Path, file: str) -> KeptGraph:
        """Keep it, the description last; a disk that is full keeps nothing."""
        with suppress(OSError, RuntimeError), quiet_jit():
            folder.mkdir(parents=True, exist_ok=True)
            torch.jit.save(self.script, str(folder / file))
            said = {"fixed": self.fixed, "file": record_file(folder / file).model_dump()}
            beside = folder / f"{file}.json.new"
            beside.write_text(json.dumps(said), encoding="utf-8")
            beside.replace(folder / f"{file}.json")
        return self


def save_program(program: NeuronProgram, path: Path) -> None:
    """Write each compiled module once, and which graph is in which file."""
    with quiet_jit():
        for file, script in program.scripts.items():
            if isinstance(script, Path):
                shutil.copyfile(script, path.with_name(file))
            else:
                torch.jit.save(script, str(path.with_name(file)))
    path.with_name(RECORD).write_text(program.record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_program(path: Path, names: Iterable[str], placement: Placement | None) -> NeuronProgram:
    """Load compiled modules onto NeuronCores: those of the placement, or the runtime's choice.

    Raises:
        RequestError: if they cannot be read, or the Neuron runtime does not load them.
    """
    record = ProgramRecord.read(path, names)
    reload = partial(_modules, path, record, placement)
    return NeuronProgram(reload(), record, reload, placement.cores if placement else 1)


def _modules(path: Path, record: ProgramRecord, placement: Placement | None) -> dict[str, Any]:
    import torch_neuronx

    files = dict.fromkeys(each.file for each in record.graphs.values())
    apart = record.weights is not None
    with load_failure(path), _on_cores(torch_neuronx, placement):
        return {file: _module(torch_neuronx, path.with_name(file), apart, placement) for file in files}


def _on_cores(sdk: Any, placement: Placement | None) -> AbstractContextManager[Any]:
    if placement is None or placement.first_core is None:
        return nullcontext()
    context: AbstractContextManager[Any] = sdk.neuron_cores_context(placement.first_core, 1)
    return context


def _module(sdk: Any, file: Path, weights_apart: bool, placement: Placement | None) -> Any:
    with quiet_jit():
        script: Any = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    first = (placement.first_core or 0) if placement else 0
    if weights_apart:
        sdk.move_trace_to_device(script, first)
    if placement is None or placement.cores == 1:
        return script
    cores = list(range(first, first + placement.cores))
    return sdk.DataParallel(script, device_ids=cores, dim=0, set_dynamic_batching=False)
