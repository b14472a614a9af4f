"""Lower a module to HLO with torch-xla: the front half of what `torch_neuronx.trace` does.

A graph is refused whose tracing needs a value (it would be baked in) or an operator that XLA does not have
(it would run elsewhere): neither can be compiled for a Neuron device.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import torch
from pydantic import JsonValue
from torch import Tensor, nn
from torch.func import functional_call

from neuron_catalog.errors import CompileError, first_line
from neuron_catalog.exporting.backends.hlo import HloModule
from neuron_catalog.exporting.backends.lazily import Function, tensors_of, traced_lazily
from neuron_catalog.exporting.backends.places import model_line
from neuron_catalog.exporting.backends.protocol import Examples
from neuron_catalog.exporting.backends.shadows import LazyTrace, WriteError
from neuron_catalog.exporting.backends.undisturbed import undisturbed

MODULE_NAME = "neuron_catalog"
UNEXPECTED = "Unexpected execution"
"""How torch-xla begins the message when a value is asked for that must not be computed."""

REFUSALS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError)
"""What a model raises that cannot do with lazy tensors, and torch-xla itself."""

GRAPH_BREAK = "Neuron compiles one graph without a break: the model's code must not look into its tensors."
FALLBACK = "Neuron compiles one graph of XLA's operators; the model must do without this one."


@dataclass(frozen=True)
class Lowered:
    """One graph in HLO."""

    hlo: bytes
    """A serialized `HloModuleProto`, without names of files and lines."""
    arguments: tuple[str, ...]
    """What each parameter is: `input:0`, `weight:NAME`, or `constant:NAME`."""
    constants: dict[str, Tensor]
    """Values that the graph takes beside the module's weights."""
    inputs: tuple[tuple[tuple[int, ...], torch.dtype], ...]
    """Shape and type of each input."""
    observed: dict[str, JsonValue]


def lower(module: nn.Module, examples: Examples, weights: Mapping[str, Tensor]) -> dict[str, Lowered]:
    """Lower a module once for each set of shapes; `weights` are all its tensors, on XLA's device, by name.

    Raises:
        CompileError: with the operator and the line of the model's code that cannot be lowered.
    """
    return {name: _lower(module, name, inputs, weights) for name, inputs in examples.items()}


def _lower(
    module: nn.Module, name: str, inputs: tuple[Tensor, ...], weights: Mapping[str, Tensor]
) -> Lowered:
    xla = xla_modules()
    placed = [tensor.to(xla.device) for tensor in inputs]
    own = _clones(weights)
    known = [(own[key], tensor) for key, tensor in tensors_of(module).items()]
    trace = _Guard([*known, *zip(placed, (tensor.clone() for tensor in inputs), strict=True)], xla)
    with _without_values(xla):
        outputs = _outputs(Function(module, name), placed, own, trace)
        observed = HloModule.parse(_built(outputs, xla).hlo_json()).observed()
        xla.c._set_ir_debug(False)  # what is kept has no paths of this machine
        context = _built(outputs, xla)
    arguments, constants = _parameters(context, name, placed, weights)
    return Lowered(
        hlo=context.hlo(),
        arguments=arguments,
        constants=constants,
        inputs=tuple((tuple(tensor.shape), tensor.dtype) for tensor in inputs),
        observed={**observed, "fixed": dict(trace.fixed)} if trace.fixed else observed,
    )


def _clones(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors that a function may write into, as some do into their buffers; tied ones stay tied."""
    clones = {id(tensor): tensor.detach().clone() for tensor in weights.values()}
    return {key: clones[id(tensor)] for key, tensor in weights.items()}


def _built(outputs: tuple[Tensor, ...], xla: Xla) -> Any:
    """Return torch-xla's lowering of what these were computed by; nothing is computed."""
    context = xla.c.lowering.LoweringContext(MODULE_NAME)
    try:
        context.build(list(outputs))
    except RuntimeError as error:
        raise _refusal(error) from error
    return context


def _parameters(
    context: Any, name: str, placed: list[Tensor], weights: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return what each parameter of a graph is, and the values of those that are constants."""
    taken = {context.tensor_parameter_id(tensor): f"input:{n}" for n, tensor in enumerate(placed)}
    taken |= {context.tensor_parameter_id(weight): f"weight:{key}" for key, weight in weights.items()}
    values = context.parameter_id_tensor_mapping()
    arguments = {number: taken.get(number, f"constant:{name}.{number}") for number in sorted(values)}
    constants = {
        argument.removeprefix("constant:"): values[number]
        for number, argument in arguments.items()
        if argument.startswith("constant:")
    }
    return tuple(arguments.values()), constants


def _outputs(
    function: Function, placed: list[Tensor], weights: Mapping[str, Tensor], trace: _Guard
) -> tuple[Tensor, ...]:
    """Trace one function; inputs are cloned, since it may write into them."""
    state = {f"module.{key}": tensor for key, tensor in weights.items()}
    try:
        with undisturbed(function.module), traced_lazily(), trace:
            given = functional_call(function, state, tuple(t.clone() for t in placed), tie_weights=False)
    except REFUSALS as error:
        raise _refusal(error) from error
    if not isinstance(given, tuple) or not all(isinstance(value, Tensor) for value in given):
        raise CompileError(f"The function returns {type(given).__name__}.", "Return a flat tuple of tensors.")
    return tuple(value.to(trace.xla.device) for value in given)


def _refusal(error: Exception) -> CompileError:
    place = f" at {at}" if (at := model_line(traceback.extract_tb(error.__traceback__))) else ""
    if isinstance(error, FallbackError):
        return CompileError(f"XLA has no operator {error}{place}.", FALLBACK)
    if isinstance(error, WriteError) or UNEXPECTED in str(error):
        return CompileError(f"A value is needed while the graph is traced{place}.", GRAPH_BREAK)
    return CompileError(f"Lowering failed{place}: {first_line(error)}", "--debug shows the whole way there.")


class FallbackError(RuntimeError):
    """An operator was called that XLA does not have; torch-xla computed it on the CPU."""


class _Guard(LazyTrace):  # type: ignore[no-untyped-call]
    """Ends the trace at the first operator that XLA does not have, where the stack tells the line."""

    def __init__(self, known: Iterable[tuple[Tensor, Tensor]], xla: Xla) -> None:
        super().__init__(known)
        self.xla = xla
        xla.metrics.clear_counters()

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = func.name().partition(".")[0]
        try:
            given = func(*args, **kwargs)
        except RuntimeError as error:
            raise (FallbackError(name) if UNEXPECTED in str(error) else error) from error
        if self.xla.metrics.executed_fallback_ops():
            raise FallbackError(name)
        return given


@dataclass(frozen=True)
class Xla:
    """The parts of torch-xla that are used here."""

    c: Any
    """The extension module."""
    metrics: ModuleType
    device: torch.device


@cache
def xla_modules() -> Xla:
    """Import torch-xla and choose its CPU device; where XLA is not used it is not imported."""
    import torch_xla
    from torch_xla import runtime
    from torch_xla.debug import metrics

    runtime.set_device_type("CPU")
    return Xla(torch_xla._XLAC, metrics, torch_xla.device())


@contextmanager
def _without_values(xla: Xla) -> Iterator[None]:
    """Forbid torch-xla to compute anything, and have it note where each operator comes from."""
    notes = xla.c._get_ir_debug()
    xla.c._set_allow_execution(False)
    xla.c._set_ir_debug(True)
    try:
        yield
    finally:
        xla.c._set_ir_debug(notes)
        xla.c._set_allow_execution(True)
