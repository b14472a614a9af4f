"""Lowering with torch-xla, compiled by XLA for its CPU device: the front half of a Neuron export, executed.

The graphs are those that `torch_neuronx.trace` would hand to the Neuron compiler. That they run on XLA's CPU
proves the lowering and its numbers; it does not prove that the Neuron compiler takes them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as written_tensors
from torch import Tensor

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.exporting.backends import float32
from neuron_catalog.exporting.backends.lazily import first_names, tensors_of
from neuron_catalog.exporting.backends.lowering import Lowered, lower, xla_modules
from neuron_catalog.exporting.backends.protocol import (
    Compilation,
    CompiledGraph,
    Placement,
    Settings,
    overwritten,
    require_no_placement,
)
from neuron_catalog.models.sources import quiet_transformers

FILE_NAME = "model.hlo.zip"
DEVICE = "XLA CPU"
TIER: Tier = "lowered"
APART = False
ROUNDING_FACTOR = 10.0
"""XLA's kernels add in another order. Measured on tiny models: most stay within the usual bound, mobilenet_v2
reaches 2.1 times and the linear attention of olmo_hybrid 5.7 times. Other weights differ by 1,000 times."""
ABSOLUTE_BOUND = False

SIGNATURE = "signature.json"
TENSORS = "tensors.safetensors"
COMPUTATION = "neuron_catalog::graph"

DAMAGED = (AttributeError, KeyError, RuntimeError, SafetensorError, TypeError, ValueError)
"""What reading the entries of a damaged file raises; XLA raises RuntimeErrors."""


def unavailable() -> str:
    """torch-xla is an extra, in an environment of its own."""
    return "" if find_spec("torch_xla") else "torch-xla is not installed; `make xla-env` makes an environment"


def versions() -> dict[str, str]:
    """Return the versions of torch, of torch-xla, which lowers, and of transformers."""
    return {
        "torch": torch.__version__,
        "torch-xla": metadata.version("torch-xla"),
        "transformers": transformers.__version__,
    }


def arguments(settings: Settings) -> dict[str, JsonValue]:  # noqa: ARG001
    """XLA compiles with its own defaults."""
    return {"device": "CPU"}


unable_to_run = float32.unable_to_run
unable_to_load = float32.unable_to_load
completed = float32.completed
environment = float32.environment
unsupported = float32.unsupported


@dataclass(frozen=True)
class XlaProgram:
    """Graphs in HLO, and one set of weights on XLA's device."""

    lowered: Mapping[str, Lowered]
    weights: dict[str, Tensor]
    """Name in the traced module → tensor on XLA's device."""
    observed: Mapping[str, JsonValue] = field(default_factory=dict)
    copies: int = 1

    @cached_property
    def graphs(self) -> dict[str, CompiledGraph]:
        return {name: XlaGraph.of(each, self.weights) for name, each in self.lowered.items()}

    def overwritten(self, new: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        return overwritten(self.weights, new)


@dataclass(frozen=True)
class XlaGraph:
    """One computation, which XLA compiles when it is first called."""

    lowered: Lowered
    arguments: tuple[Tensor | int, ...]
    """What each parameter is given: a tensor on the device, or the number of an input."""
    computation: Any

    @classmethod
    def of(cls, lowered: Lowered, weights: Mapping[str, Tensor]) -> XlaGraph:
        """Put the parameters of a graph together."""
        xla = xla_modules()
        given: list[Tensor | int] = []
        for argument in lowered.arguments:
            kind, _, name = argument.partition(":")
            if kind == "input":
                given.append(int(name))
            else:
                given.append(weights[name] if kind == "weight" else lowered.constants[name].to(xla.device))
        computation = xla.c._xla_op_computation_from_module_proto(COMPUTATION, lowered.hlo)
        return cls(lowered, tuple(given), computation)

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the graph.

        Raises:
            ValueError: if a tensor has another shape or type than the graph was compiled for.
        """
        given = tuple((tuple(tensor.shape), tensor.dtype) for tensor in tensors)
        if given != self.lowered.inputs:
            raise ValueError(f"the graph takes {self.lowered.inputs}, not {given}")
        xla = xla_modules()
        placed = [a if isinstance(a, Tensor) else tensors[a].to(xla.device) for a in self.arguments]
        with torch.no_grad():
            outputs = xla.c._xla_user_computation(COMPUTATION, placed, self.computation)
            return tuple(output.cpu() for output in outputs)


def compile(compilation: Compilation) -> XlaProgram:
    """Lower a module once for each set of shapes; the weights are copied to XLA's device once."""
    device = xla_modules().device
    own = tensors_of(compilation.module)
    first = first_names(own)
    placed = {name: own[name].detach().to(device) for name in first.values()}
    for name, tensor in placed.items():
        tensor.requires_grad_(own[name].requires_grad)
    weights = {name: placed[first[name]] for name in own}
    with quiet_transformers():
        lowered = lower(compilation.module, compilation.examples, weights)
    return XlaProgram(lowered, weights, {name: each.observed for name, each in lowered.items()})


def save(program: XlaProgram, path: Path) -> None:
    """Write all graphs, their signatures and one set of weights into a zip file without compression."""
    first = first_names(program.weights)
    tensors = {f"weight:{name}": program.weights[name].detach().cpu() for name in {*first.values()}}
    for each in program.lowered.values():
        tensors |= {f"constant:{name}": value.contiguous() for name, value in each.constants.items()}
    signature = {
        "weights": first,
        "parameters": [name for name in first if program.weights[name].requires_grad],
        "graphs": {name: _signature(each) for name, each in program.lowered.items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(SIGNATURE), json.dumps(signature, indent=1))
        archive.writestr(_entry(TENSORS), written_tensors(tensors))
        for name, each in program.lowered.items():
            archive.writestr(_entry(f"{name}.hlo"), each.hlo)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry of a fixed date, so that equal contents give equal files."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _signature(lowered: Lowered) -> dict[str, JsonValue]:
    inputs: list[JsonValue] = [
        {"shape": list(shape), "dtype": str(dtype).removeprefix("torch.")} for shape, dtype in lowered.inputs
    ]
    return {"arguments": list(lowered.arguments), "inputs": inputs}


def load(path: Path, names: Iterable[str], placement: Placement | None = None) -> XlaProgram:
    """Read graphs onto XLA's CPU device; they share their weights."""
    require_no_placement(placement)
    try:
        with zipfile.ZipFile(path) as archive:
            signature = json.loads(archive.read(SIGNATURE))
            tensors = read_tensors(archive.read(TENSORS))
            lowered = {
                name: _read(archive.read(f"{name}.hlo"), signature["graphs"][name], tensors) for name in names
            }
        program = XlaProgram(lowered, _placed(signature, tensors))
        _ = program.graphs  # XLA reads them
    except (OSError, zipfile.BadZipFile, *DAMAGED) as error:
        cause = f"{path} is no file of lowered graphs: {first_line(error)}"
        raise RequestError(cause, "Export again.") from error
    return program


def _read(hlo: bytes, signature: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Lowered:
    keys = [each for each in signature["arguments"] if each.startswith("constant:")]
    inputs = tuple((tuple(each["shape"]), getattr(torch, each["dtype"])) for each in signature["inputs"])
    constants = {each.removeprefix("constant:"): tensors[each] for each in keys}
    return Lowered(hlo, tuple(signature["arguments"]), constants, inputs, {})


def _placed(signature: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    device = xla_modules().device
    first: Mapping[str, str] = signature["weights"]
    placed = {name: tensors[f"weight:{name}"].to(device) for name in {*first.values()}}
    for name in signature["parameters"]:
        placed[first[name]].requires_grad_()
    return {name: placed[first[name]] for name in first}
