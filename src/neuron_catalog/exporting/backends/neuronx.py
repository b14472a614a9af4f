"""`torch_neuronx.trace`: graphs for Inferentia 2 and Trainium, by the documented interface of the Neuron SDK.

It was written from the documents and is held to them by tests with a double; see docs/neuron.md for what has
been run and what has not. Compiling takes no device; running does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from packaging.version import InvalidVersion, Version
from pydantic import JsonValue
from torch import Tensor, nn

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends import neuron_options
from neuron_catalog.exporting.backends.device_states import Stateful
from neuron_catalog.exporting.backends.lazily import Function, tensors_of, traced_lazily
from neuron_catalog.exporting.backends.neuron_buckets import BucketKernel, BucketSource
from neuron_catalog.exporting.backends.neuron_failures import compiling
from neuron_catalog.exporting.backends.neuron_options import CompilerOptions
from neuron_catalog.exporting.backends.neuron_program import (
    GraphRecord,
    KeptGraph,
    NeuronProgram,
    ProgramRecord,
    files_of,
    load_program,
    save_program,
    weight_records,
    with_weights,
)
from neuron_catalog.exporting.backends.protocol import Compilation, Placement, Settings
from neuron_catalog.exporting.backends.shadows import LazyTrace
from neuron_catalog.exporting.backends.torchscript import quiet_jit
from neuron_catalog.sdk.installed import installed, trace_unavailable
from neuron_catalog.sdk.machine import core_version, this_machine

FILE_NAME = "model.neuron"
DEVICE = "Neuron device"
TIER: Tier = "device-verified"
APART = True
ROUNDING_FACTOR = 1.0
ABSOLUTE_BOUND = True

SDK_PACKAGES = ("torch-neuronx", "neuronx-cc", "libneuronxla")

completed = neuron_options.completed
unsupported = neuron_options.unsupported
save = save_program


def unavailable() -> str:
    """Return why `torch_neuronx.trace` is not here."""
    return trace_unavailable()


def unable_to_run() -> str:
    """A graph runs on a Neuron device of the second generation or later."""
    machine = this_machine()
    if machine.is_inf1:
        return "this machine is an Inf1, which runs no graphs of torch-neuronx"
    return "" if machine.devices else "this machine has no Neuron device"


def unable_to_load(arguments: Mapping[str, JsonValue], versions: Mapping[str, str]) -> str:
    """A graph runs on the NeuronCores that it was compiled for, and not below the compiler's version."""
    machine, target = this_machine(), str(arguments.get("target") or "")
    if reason := unable_to_run():
        return reason
    if target and machine.target and core_version(target) != core_version(machine.target):
        return f"it was compiled for {target}, and this is a {machine.target}"
    compiled, here = versions.get("neuronx-cc", ""), installed("neuronx-cc") or ""
    if _newer(compiled, here):
        return f"it was compiled by neuronx-cc {compiled}, and {here} is installed"
    return ""


def _newer(compiled: str, here: str) -> bool:
    try:
        return Version(compiled) > Version(here)
    except InvalidVersion:
        return False


def versions() -> dict[str, str]:
    """Return the versions of torch, of the SDK's packages, and of transformers."""
    sdk = {name: version for name in SDK_PACKAGES if (version := installed(name))}
    return {"torch": torch.__version__, **sdk, "transformers": transformers.__version__}


def environment(settings: Settings) -> dict[str, str]:
    """Name the target where no device does: torch-neuronx wants to know it when it is imported."""
    options = CompilerOptions.of(settings)
    override = {"NEURON_PLATFORM_TARGET_OVERRIDE": options.target} if unable_to_run() else {}
    return {**override, **options.environment}


def arguments(settings: Settings) -> dict[str, JsonValue]:
    """Return the target, the exact arguments of the compiler, and those of `torch_neuronx.trace`."""
    options = CompilerOptions.of(settings)
    given: list[JsonValue] = [*options.arguments(installed("neuronx-cc"))]
    return {
        "target": options.target,
        "compiler_args": given,
        "inline_weights_to_neff": options.inline_weights,
        "cpu_backend": bool(unable_to_run()),
        "async_load": options.switch("async_load"),
        "lazy_load": options.switch("lazy_load"),
    }


def load(path: Path, names: Iterable[str], placement: Placement | None = None) -> NeuronProgram:
    """Load compiled modules onto NeuronCores; see `load_program`."""
    return load_program(path, names, placement)


class NeuronFunction(Function):
    """One function of a module, which tells its model's code the values of the example inputs."""

    def __init__(self, module: nn.Module, name: str, examples: Iterable[Sequence[Tensor]]) -> None:
        super().__init__(module, name)
        weights = {key: tensor.detach() for key, tensor in tensors_of(module).items()}
        self._values = _Values(tuple(tuple(t.clone() for t in inputs) for inputs in examples), weights)

    def forward(self, *tensors: Tensor) -> Any:
        if all(tensor.device.type == "cpu" for tensor in tensors):
            return super().forward(*tensors)
        known = [(lazy, self._values.weights[key]) for key, lazy in tensors_of(self.module).items()]
        trace = LazyTrace([*known, *zip(tensors, self._values.of_shapes(tensors), strict=True)])
        with trace:
            given = super().forward(*tensors)
        self._values.fixed.update(trace.fixed)
        return given

    @property
    def fixed(self) -> dict[str, str]:
        """Line of code → the operator whose result was fixed there, here or in a copy."""
        return self._values.fixed


@dataclass(frozen=True)
class _Values:
    """What inputs and weights are on the CPU. A copy of a module shares them."""

    examples: tuple[tuple[Tensor, ...], ...]
    """Of each graph that is traced."""
    weights: dict[str, Tensor]
    fixed: dict[str, str] = field(default_factory=dict)

    def of_shapes(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the inputs of the graph that has these shapes."""
        shapes = [tensor.shape for tensor in tensors]
        return next(inputs for inputs in self.examples if [each.shape for each in inputs] == shapes)

    def __deepcopy__(self, memo: Any) -> _Values:
        return self


def compile(compilation: Compilation) -> NeuronProgram:
    """Trace and compile a module for each set of shapes, for the target and with the options asked for."""
    import torch_neuronx

    options = CompilerOptions.of(compilation.settings)
    examples, states = compilation.examples, compilation.states
    observed: dict[str, JsonValue] = {}
    with quiet_jit(), traced_lazily():
        if len(examples) > 1 and not states and options.inline_weights and not unable_to_run():
            scripts = {FILE_NAME: _bucketed(torch_neuronx, compilation, options)}
            files = dict.fromkeys(examples, FILE_NAME)
        else:
            files = files_of(examples, FILE_NAME)
            scripts = {}
            for name in examples:
                made = _kept_or_traced(torch_neuronx, compilation, name, files[name], options)
                scripts[files[name]] = made.script
                observed |= {name: {"fixed": dict(made.fixed)}} if made.fixed else {}
    graphs = {name: GraphRecord(file=file, states=states.get(name, ())) for name, file in files.items()}
    weights = None if options.inline_weights else weight_records(compilation.module)
    return NeuronProgram(scripts, ProgramRecord(graphs=graphs, weights=weights), observed=observed)


def _kept_or_traced(
    sdk: Any, compilation: Compilation, name: str, file: str, options: CompilerOptions
) -> KeptGraph:
    """Return a graph that was compiled before, by an interrupted run or with other weights; or compile it."""
    folder = compilation.unfinished
    if folder and (kept := KeptGraph.found(folder, file)):
        return kept
    same = compilation.same_graphs
    if same and (script := with_weights(same / file, compilation.module)) is not None:
        return KeptGraph(script, {})
    function = NeuronFunction(compilation.module, name, [compilation.examples[name]])
    script = _traced(sdk, compilation, function, options)
    made = KeptGraph(script, dict(function.fixed))
    return made.kept(folder, file) if folder else made


def _traced(sdk: Any, compilation: Compilation, function: NeuronFunction, options: CompilerOptions) -> Any:
    name, module = function.name, cast("nn.Module", function)
    tensors, places = compilation.examples[name], compilation.states.get(name, ())
    aliases: dict[Any, int] = {}
    if places:
        if not options.inline_weights:
            raise RequestError(
                "A graph with a cache keeps it in parameters of its own, so its weights cannot be apart.",
                "Leave inline_weights_to_neff at true.",
            )
        module = Stateful(module, tensors, places)
        aliases = {state: output for state, (_, output) in zip(module.states, places, strict=True)}
        taken = {number for number, _ in places}
        tensors = tuple(tensor for number, tensor in enumerate(tensors) if number not in taken)
    with compiling(options.asked, name) as workdir:
        script = sdk.trace(
            module,
            tensors,
            input_output_aliases=aliases,
            compiler_workdir=workdir,
            compiler_args=options.arguments(installed("neuronx-cc")),
            inline_weights_to_neff=options.inline_weights,
            cpu_backend=bool(unable_to_run()),
        )
    if compilation.settings.dynamic_batch and options.inline_weights and not places:
        sdk.dynamic_batch(script)
    return _with_loading(sdk, script, options)


def _bucketed(sdk: Any, compilation: Compilation, options: CompilerOptions) -> Any:
    inputs = list(compilation.examples.values())
    module = NeuronFunction(compilation.module, next(iter(compilation.examples)), inputs)
    with compiling(options.asked, "buckets") as workdir:
        script = sdk.bucket_model_trace(
            BucketSource(module),
            inputs,
            sdk.BucketModelConfig(BucketKernel.of(inputs)),
            compiler_workdir=workdir,
            compiler_args=options.arguments(installed("neuronx-cc")),
        )
    return _with_loading(sdk, script, options)


def _with_loading(sdk: Any, script: Any, options: CompilerOptions) -> Any:
    """Write into the module how it is to be loaded; it is stored with it."""
    if options.switch("async_load"):
        sdk.async_load(script)
    if options.switch("lazy_load"):
        sdk.lazy_load(script)
    return script
