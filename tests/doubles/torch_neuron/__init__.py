"""A DOUBLE of torch_neuron, for tests: it compiles nothing, and what passes here is no support of Inf1.

It has the documented `torch_neuron.trace` of torch-neuron 1.13 with its documented arguments, runs graphs
through `torch.jit.trace` on the CPU, and holds its callers to the documented limits:
- inputs are a tensor or a tuple of tensors;
- the arguments of the compiler are a list of str, and documented ones of neuron-cc;
- of a module its call alone is traced, and what it returns is what `torch.jit.trace` takes: no dict;
- without `fallback` an operator that Inf1 lacks is an AttributeError; with it, it would run on the CPU;
- a graph takes the traced shapes and types only, or other rows if `dynamic_batch_size` is given;
- more weights than 1.9 GB must be apart;
- a file is loaded only where torch_neuron is imported, and a graph runs only on an Inf1.
What the documents leave open is refused, so that nothing rests on it.
"""

from __future__ import annotations

import enum
import os
import subprocess
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

__version__ = "1.13.1.2.11.13.0+double"

device = SimpleNamespace(present=True)
"""The device of this double."""

calls: list[dict[str, Any]] = []
"""With which arguments `trace` was called, for tests to look at."""

LARGEST = 1_900_000_000
"""Bytes of weights that a graph can hold."""

FAULT = "NEURON_DOUBLE_FAULT"
"""Names a variable that makes the compiler of this double fail: an operator is lacking, or time is."""

CASTS = {
    *("fp32-cast-all", "fp32-cast-all-fp16"),
    *("fp32-cast-matmult", "fp32-cast-matmult-bf16", "fp32-cast-matmult-fp16"),
}
RELAYOUTS = {"fast-relayout", "no-fast-relayout"}
SWITCHES = {
    "--enable-saturate-infinity",
    "--enable-fast-context-switch",
    "--enable-fast-loading-neuron-binaries",
}
"""Documented options of neuron-cc without a value."""

library = torch.library.Library("neuron_v1_double", "DEF")
library.define("check(Tensor[] inputs, str shapes, bool any_rows) -> int")


class Optimization(enum.Enum):
    """Passes over the traced model."""

    FLOAT32_TO_FLOAT16 = "float32 to float16"


@torch.library.impl(library, "check", "CompositeExplicitAutograd")
def _check(inputs: list[Tensor], shapes: str, any_rows: bool) -> int:
    """Stand for what the Neuron runtime refuses when a graph is run."""
    if not device.present:
        raise RuntimeError("double: NRT_FAILURE: no Inf1 device")
    if _described(inputs, any_rows) != shapes:
        raise RuntimeError(f"double: the graph takes {shapes}, not {_described(inputs, any_rows)}")
    return len(inputs)


def _described(inputs: Any, any_rows: bool) -> str:
    return ";".join(f"{tuple(tensor.shape)[any_rows:]} {tensor.dtype}" for tensor in inputs)


def trace(
    model: Any,
    example_inputs: Any,
    *,
    compiler_args: list[str] | None = None,
    compiler_timeout: int | None = None,
    compiler_workdir: str | None = None,
    subgraph_builder_function: Any = None,
    minimum_segment_size: int = 2,
    single_fusion_ratio_threshold: float = 0.6,
    fallback: bool = True,
    dynamic_batch_size: bool = False,
    optimizations: list[Optimization] | None = None,
    separate_weights: bool = False,
    **forwarded: Any,
) -> torch.jit.ScriptModule:
    """Trace a module; further arguments are those of `torch.jit.trace`."""
    if subgraph_builder_function or (minimum_segment_size, single_fusion_ratio_threshold) != (2, 0.6):
        raise TypeError("double: partitions are not doubled")
    if optimizations:
        raise TypeError("double: optimizations change the types of outputs, which is not doubled")
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs
    if not isinstance(inputs, tuple) or not all(isinstance(each, Tensor) for each in inputs):
        raise TypeError("double: example_inputs must be a tensor or a tuple of tensors")
    _require_arguments(compiler_args)
    told = {
        "inputs": [tuple(tensor.shape) for tensor in inputs],
        "compiler_args": compiler_args,
        "compiler_timeout": compiler_timeout,
        "compiler_workdir": compiler_workdir,
        "fallback": fallback,
        "dynamic_batch_size": dynamic_batch_size,
        "separate_weights": separate_weights,
    }
    calls.append(told)
    _fail(os.environ.get(FAULT, ""), fallback, compiler_timeout)
    _require_room(model, separate_weights)
    return _compiled(model, inputs, dynamic_batch_size, forwarded)


def _require_arguments(given: Any) -> None:
    """Refuse arguments that neuron-cc does not document."""
    if given is None:
        return
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise TypeError("double: compiler_args is a list of str")
    words = list(given)
    while words:
        word = words.pop(0)
        if word == "--fast-math":
            values = []
            while words and not words[0].startswith("--"):
                values.append(words.pop(0))
            _require_fast_math(values)
        elif word == "--neuroncore-pipeline-cores":
            int(words.pop(0))
        elif word not in SWITCHES:
            raise RuntimeError(f"double: neuron-cc knows no option {word}")


def _require_fast_math(values: list[str]) -> None:
    unknown = {*values} - CASTS - RELAYOUTS - {"all", "none"}
    if not values or unknown:
        raise RuntimeError(f"double: neuron-cc: --fast-math cannot be {' '.join(values) or 'nothing'}")
    for exclusive in (CASTS, RELAYOUTS, {"all", "none"}):
        if len(exclusive & {*values}) > 1:
            raise RuntimeError(f"double: neuron-cc: --fast-math {' '.join(values)} contradicts itself")


def _fail(fault: str, fallback: bool, timeout: int | None) -> None:
    kind, _, what = fault.partition(":")
    if kind == "operator" and not fallback:
        raise AttributeError(f"double: {what} is not supported by Neuron")
    if kind == "time" and timeout is not None:
        raise subprocess.TimeoutExpired("neuron-cc", timeout)


def _require_room(model: Any, separate_weights: bool) -> None:
    weights = sum(each.numel() * each.element_size() for each in {*model.parameters(), *model.buffers()})
    if weights > LARGEST and not separate_weights:
        raise RuntimeError(f"double: {weights} bytes of weights do not fit into a graph")


SOURCE = """
def forward({tensors}):
    assert torch.ops.neuron_v1_double.check([{names}], {shapes!r}, {any_rows}) == {count}
    return self.traced({names})
"""


def _compiled(
    model: Any, inputs: tuple[Tensor, ...], any_rows: bool, forwarded: dict[str, Any]
) -> torch.jit.ScriptModule:
    told = {"check_trace": False, **forwarded}
    shell = nn.Module()
    shell.traced = torch.jit.trace(model, tuple(tensor.clone() for tensor in inputs), **told)
    script = torch.jit.script(shell)
    names = ", ".join(f"x{number}" for number in range(len(inputs)))
    source = SOURCE.format(
        tensors=f"self, {names}",
        names=names,
        shapes=_described(inputs, any_rows),
        any_rows=any_rows,
        count=len(inputs),
    )
    script.define(source)
    return script
