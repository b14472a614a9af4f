"""`torch_neuron.trace`: graphs for Inf1, the first Inferentia, by the documented interface of torch-neuron.

torch-neuron and Inf1 are archived upstream, and no torch that neuron-catalog works with has a torch-neuron.
So nothing can be exported with this backend today; tests with a double hold it to the documents.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from pydantic import JsonValue
from torch import nn

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import CompileError, RequestError, first_line
from neuron_catalog.exporting.backends import neuron_options
from neuron_catalog.exporting.backends.lazily import Function, tensors_of
from neuron_catalog.exporting.backends.neuron_failures import compiling, load_failure
from neuron_catalog.exporting.backends.neuron_options import AUTO_CAST, SWITCHES, CompilerOptions
from neuron_catalog.exporting.backends.neuron_program import (
    GraphRecord,
    NeuronProgram,
    ProgramRecord,
    files_of,
    save_program,
)
from neuron_catalog.exporting.backends.protocol import Compilation, Placement, Settings
from neuron_catalog.exporting.backends.torchscript import quiet_jit
from neuron_catalog.sdk.installed import inf1_unavailable, installed
from neuron_catalog.sdk.machine import INF1, this_machine

FILE_NAME = "model.neuron"
DEVICE = "Inf1 device"
TIER: Tier = "device-verified"
APART = True
ROUNDING_FACTOR = 1.0
ABSOLUTE_BOUND = True

PACKAGES = ("torch-neuron", "neuron-cc")

VALUES: dict[str, tuple[JsonValue, ...]] = {
    "target": (INF1,),
    "auto_cast": ("none", "matmul", "all"),
    "auto_cast_type": ("bf16", "fp16"),
    "inline_weights_to_neff": (True,),
    "num_cores": (1,),
    "tensor_parallel_size": (1,),
}
"""Option → what it can be."""

FREE = ("compiler_workdir", "compiler_timeout", "compiler_args")
"""Options that can be anything of their type."""

NOT_OF_NEURON_CC = ("enable_mixed_precision_accumulation", "disable_mixed_precision_accumulation")
"""Facts of the catalog that are options of neuronx-cc only."""

CASTS = {
    "none": ("none",),
    "matmult bf16": ("fp32-cast-matmult-bf16", "fast-relayout"),
    "matmult fp16": ("fp32-cast-matmult-fp16", "fast-relayout"),
    "all bf16": ("fp32-cast-all", "fast-relayout"),
    "all fp16": ("fp32-cast-all-fp16", "fast-relayout"),
}
"""What is cast → values of neuron-cc's --fast-math. With none, too, Inf1 computes products in bfloat16; what
is left out is to transpose by products."""

LARGEST_INSIDE = 1_900_000_000
"""Bytes of weights above which torch-neuron keeps them out of the graph, if it is told to."""

save = save_program


def unavailable() -> str:
    """Return why torch-neuron is not here."""
    return inf1_unavailable()


def unable_to_run() -> str:
    """A graph runs on Inf1 only."""
    return "" if this_machine().is_inf1 else "this machine has no Inf1 device"


def unable_to_load(arguments: Mapping[str, JsonValue], versions: Mapping[str, str]) -> str:  # noqa: ARG001
    """All graphs are for the one kind of device."""
    return unable_to_run()


def versions() -> dict[str, str]:
    """Return the versions of torch, of torch-neuron and its compiler, and of transformers."""
    own = {name: version for name in PACKAGES if (version := installed(name))}
    return {"torch": torch.__version__, **own, "transformers": transformers.__version__}


def environment(settings: Settings) -> dict[str, str]:  # noqa: ARG001
    """torch-neuron is told all by arguments."""
    return {}


def completed(asked: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the options with the only target there is.

    Raises:
        RequestError: if there is a type to cast to, and nothing is cast.
    """
    neuron_options.require_cast(asked)
    return {**asked, "target": INF1}


def unsupported(option: str, value: JsonValue) -> str:
    """Return why torch-neuron cannot honour an option, or an empty string."""
    if option in FREE:
        return neuron_options.unsupported(option, value)
    if option not in VALUES:
        return f"it knows no option {option}"
    if any(type(value) is type(each) and value == each for each in VALUES[option]):
        return ""
    known = [str(each).lower() if isinstance(each, bool) else str(each) for each in VALUES[option]]
    return f"for Inf1 {option} is {known[0]}" if len(known) == 1 else f"{option} is one of {', '.join(known)}"


def arguments(settings: Settings) -> dict[str, JsonValue]:
    """Return the target, the exact arguments of the compiler, and those of `torch_neuron.trace`.

    Its pass FLOAT32_TO_FLOAT16 is not among them: it makes outputs float16, which those of the model are not,
    and torch-neuron's documents advise against it where inputs are float32.
    """
    given: list[JsonValue] = [*_compiler_arguments(settings)]
    return {
        "target": INF1,
        "compiler_args": given,
        "fallback": False,
        "dynamic_batch_size": settings.dynamic_batch,
    }


def _compiler_arguments(settings: Settings) -> Iterator[str]:
    """Yield the arguments of neuron-cc, every one by name; the caller's come last, and count."""
    options = CompilerOptions.of(settings)
    cast = AUTO_CAST[str(options.option("auto_cast", "none"))]
    kind = "fp16" if options.option("auto_cast_type", "bf16") == "fp16" else "bf16"
    yield from ("--fast-math", *CASTS["none" if cast == "none" else f"{cast} {kind}"])
    for name in SWITCHES:
        if settings.facts.get(name) and name not in NOT_OF_NEURON_CC:
            yield "--" + name.replace("_", "-")
    yield from shlex.split(str(settings.asked.get("compiler_args", "")))


def compile(compilation: Compilation) -> NeuronProgram:
    """Trace and compile a module once for each set of shapes. Nothing is left to the CPU.

    States, such as a cache, are inputs and outputs: torch-neuron cannot keep them on the device.
    """
    import torch_neuron

    files = files_of(compilation.examples, FILE_NAME)
    with quiet_jit(), torch.no_grad():
        scripts = {file: _traced(torch_neuron, compilation, name) for name, file in files.items()}
    graphs = {name: GraphRecord(file=file) for name, file in files.items()}
    record = ProgramRecord(graphs=graphs, weights=None)
    apart = _too_large(compilation.module)
    return NeuronProgram(scripts, record, observed={name: {"separate_weights": apart} for name in files})


def _traced(sdk: Any, compilation: Compilation, name: str) -> Any:
    settings = compilation.settings
    with compiling(settings.asked, name) as workdir:
        try:
            return sdk.trace(
                Function(compilation.module, name),
                compilation.examples[name],
                compiler_args=[*_compiler_arguments(settings)],
                compiler_timeout=settings.asked.get("compiler_timeout"),
                compiler_workdir=workdir,
                fallback=False,
                dynamic_batch_size=settings.dynamic_batch,
                separate_weights=_too_large(compilation.module),
            )
        except AttributeError as error:  # what torch-neuron raises for an operator, if there is no fallback
            raise CompileError(
                f"torch-neuron refuses the graph, as it does if Inf1 lacks an operator: {first_line(error)}",
                "Take Inf2 or Trn1 with the backend neuronx; nothing is left to the CPU.",
            ) from error


def _too_large(module: nn.Module) -> bool:
    """Whether the weights are too many bytes to lie in the graph; a tensor of several names counts once."""
    own = {id(tensor): tensor for tensor in tensors_of(module).values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in own.values()) > LARGEST_INSIDE


def load(path: Path, names: Iterable[str], placement: Placement | None = None) -> NeuronProgram:
    """Load compiled modules onto the cores that the Neuron runtime chooses.

    Raises:
        RequestError: if they cannot be read or loaded, or are to be placed on cores.
    """
    import torch_neuron  # noqa: F401  it makes the operators known that torch.jit.load meets

    if placement is not None:
        raise RequestError(
            "torch-neuron has no documented way to place a graph on chosen cores.",
            "Leave first_core and cores out; NEURON_RT_VISIBLE_CORES tells the runtime which to use.",
        )
    record = ProgramRecord.read(path, names)
    files = dict.fromkeys(each.file for each in record.graphs.values())
    with load_failure(path), quiet_jit():
        scripts = {file: torch.jit.load(str(path.with_name(file))) for file in files}  # type: ignore[no-untyped-call]
    return NeuronProgram(scripts, record)
