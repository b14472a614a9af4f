"""A DOUBLE of torch_neuronx, for tests: it compiles nothing, and what passes here is no support of Neuron.

It has the documented functions of torch-neuronx 2.9 with their documented signatures, runs graphs through
`torch.jit.trace` on the CPU, and holds its callers to the documented limits:
- inputs are a tensor or a tuple of tensors, by position; no other argument is positional;
- outputs are tensors in a tuple or list, never a dict;
- a compiled graph takes the traced shapes and types only;
- weights that are apart are on the device only after `move_trace_to_device`, and only these can be replaced;
- a graph runs on the NeuronCores that it was compiled for;
- states are parameters of the traced module that are aliased to an output, which is not returned.
What the documents leave open is refused, so that nothing rests on it.
"""

from __future__ import annotations

import os
import pickle
import shlex
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

__version__ = "2.9.0.2.15.32035+double"

device = SimpleNamespace(target="trn1", cores=2, busy=False)
"""The device of this double; a target of None stands for a machine without one."""

calls: list[tuple[str, dict[str, Any]]] = []
"""What was called with which arguments, for tests to look at."""

CORES = {"inf2": 2, "trn1": 2, "trn1n": 2, "trn2": 3, "trn3": 4}
OPTIONS = {
    "--target": {"inf2", "trn1", "trn1n", "trn2", "trn3"},
    "--model-type": {"generic", "transformer", "unet-inference"},
    "--auto-cast": {"none", "matmult", "all"},
    "--auto-cast-type": {"bf16", "fp16", "tf32", "fp8_e4m3"},
    "--optlevel": {"1", "2", "3"},
    "-O": {"1", "2", "3"},
    "--lnc": {"1", "2"},
    "--logical-nc-config": {"1", "2"},
}
"""Documented options of neuronx-cc 2.26 with a value."""
SWITCHES = {
    "--enable-mixed-precision-accumulation",
    "--disable-mixed-precision-accumulation",
    "--enable-saturate-infinity",
    "--enable-fast-context-switch",
    "--enable-fast-loading-neuron-binaries",
}

library = torch.library.Library("neuron_double", "DEF")
library.define("check(Tensor[] inputs, str shapes, str target, bool on_device) -> int")


@torch.library.impl(library, "check", "CompositeExplicitAutograd")
def _check(inputs: list[Tensor], shapes: str, target: str, on_device: bool) -> int:
    """Stand for what the Neuron runtime refuses when a graph is run."""
    if device.target is None:
        raise RuntimeError("double: NRT_FAILURE: no Neuron device")
    if CORES[device.target] != CORES[target]:
        raise RuntimeError(f"double: NRT_FAILURE: a NEFF for {target} on {device.target}")
    given = ";".join(f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in inputs)
    if given != shapes:
        raise RuntimeError(f"double: the graph takes {shapes}, not {given}")
    if not on_device:
        calls.append(("weights moved for one call", {}))
    return len(inputs)


SOURCE = """
def forward({tensors}):
    assert torch.ops.neuron_double.check([{names}], {shapes!r}, {target!r}, self.on_device) == {count}
    given = self.traced({names})
{put}    return {kept}
"""


FAULT = "NEURON_DOUBLE_FAULT"
"""Names a variable that makes the compiler of this double fail."""


def _fail(fault: str, workdir: str | None) -> None:
    kind, _, code = fault.partition(":")
    if kind == "log":
        log = Path(workdir or ".") / "log-neuron-cc.txt"
        log.write_text(f"2026-11-26T00:00:00Z ERROR 1 [neuronx-cc]: [NCC_{code}] something\n")
        raise RuntimeError("neuronx-cc failed with 70")
    if kind == "signal":
        os.kill(os.getpid(), int(code))
    if kind == "exit":
        os._exit(int(code))
    if kind == "hang":
        time.sleep(600)


def _compiler_arguments(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, (str, list)):
        raise TypeError(f"double: compiler_args is a {type(given).__name__}, not a str or a list of str")
    words = shlex.split(given) if isinstance(given, str) else list(given)
    found: dict[str, str] = {}
    while words:
        word = words.pop(0)
        if not isinstance(word, str):
            raise TypeError(f"double: {word!r} among compiler_args is no str")
        name, _, value = word.partition("=")
        if name in SWITCHES:
            found[name] = ""
        elif name in OPTIONS:
            value = value or words.pop(0)
            if value not in OPTIONS[name]:
                raise RuntimeError(f"double: neuronx-cc: {name} cannot be {value}")
            found[name] = value
        else:
            raise RuntimeError(f"double: neuronx-cc knows no option {word}")
    return found


def trace(
    func: Any,
    example_inputs: Any,
    *_: Any,
    input_output_aliases: dict[Any, int] = {},  # noqa: B006, as documented
    compiler_workdir: str | None = None,
    compiler_args: str | list[str] | None = None,
    partitioner_config: Any = None,
    inline_weights_to_neff: bool = True,
    cpu_backend: bool = False,
) -> torch.jit.ScriptModule:
    """Trace a function of positional tensors."""
    if _:
        raise TypeError("double: arguments by position are deprecated since SDK 2.15")
    _fail(os.environ.get(FAULT, ""), compiler_workdir)
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else example_inputs
    if not isinstance(inputs, tuple) or not all(isinstance(each, Tensor) for each in inputs):
        raise TypeError("double: example_inputs must be a tensor or a tuple of tensors")
    told = _compiler_arguments(compiler_args)
    if cpu_backend and "--target" not in told:
        raise RuntimeError("double: cpu_backend needs --target in compiler_args")
    if not cpu_backend and device.target is None:
        raise RuntimeError("double: there is no Neuron device; trace with cpu_backend=True")
    calls.append(
        (
            "trace",
            {
                "inputs": [tuple(tensor.shape) for tensor in inputs],
                "input_output_aliases": len(input_output_aliases),
                "compiler_workdir": compiler_workdir,
                "compiler_args": compiler_args,
                "inline_weights_to_neff": inline_weights_to_neff,
                "cpu_backend": cpu_backend,
            },
        )
    )
    target = told.get("--target") or device.target
    return _compiled(func, inputs, input_output_aliases, target, inline_weights_to_neff)


class _Flat(nn.Module):
    """Gives the tensors of a function as a tuple."""

    def __init__(self, func: Any) -> None:
        super().__init__()
        self.func = func

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = self.func(*tensors)
        flat = [given] if isinstance(given, Tensor) else given
        if not isinstance(flat, (tuple, list)) or not all(isinstance(each, Tensor) for each in flat):
            raise RuntimeError(f"double: the function returns a {type(given).__name__}, or nested tensors")
        return tuple(flat)


def _compiled(
    func: Any, inputs: tuple[Tensor, ...], aliases: dict[Any, int], target: str, inline: bool
) -> torch.jit.ScriptModule:
    if not all(isinstance(each, nn.Parameter) for each in aliases):
        raise TypeError("double: states are parameters of the traced module")
    with torch.no_grad():
        flat = _Flat(func)
        count = len(flat(*(tensor.clone() for tensor in inputs)))
        graph = torch.jit.trace(flat, tuple(tensor.clone() for tensor in inputs), check_trace=False)
    shell = nn.Module()
    for number, state in enumerate(aliases):
        shell.register_parameter(f"state_{number}", state)
    shell.traced = graph
    shell.inline, shell.on_device = inline, inline
    shell.rows_may_vary, shell.loads_later = False, False
    script = torch.jit.script(shell)
    names = ", ".join(f"x{number}" for number in range(len(inputs)))
    put = [f"    self.state_{n}.copy_(given[{output}])\n" for n, output in enumerate(aliases.values())]
    kept = [f"given[{number}]" for number in range(count) if number not in aliases.values()]
    source = SOURCE.format(
        tensors=f"self, {names}",
        names=names,
        shapes=";".join(f"{tuple(tensor.shape)} {tensor.dtype}" for tensor in inputs),
        target=target,
        count=len(inputs),
        put="".join(put),
        kept=f"({', '.join(kept)},)",
    )
    script.define(source)
    return script


def dynamic_batch(neuron_script: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Mark a graph as one for any number of rows; this double never gets other rows than traced."""
    calls.append(("dynamic_batch", {}))
    if not neuron_script.inline:
        raise RuntimeError("double: with weights apart it is no documented combination")
    neuron_script.rows_may_vary = True
    return neuron_script


def async_load(trace: torch.jit.ScriptModule, enable_async_load: bool = True) -> None:
    """Mark a graph for loading in the background."""
    calls.append(("async_load", {"enable_async_load": enable_async_load}))
    trace.loads_later = enable_async_load


def lazy_load(trace: torch.jit.ScriptModule, enable_lazy_load: bool = True) -> None:
    """Mark a graph for loading when it is first called."""
    calls.append(("lazy_load", {"enable_lazy_load": enable_lazy_load}))
    trace.loads_later = enable_lazy_load


def move_trace_to_device(trace: torch.jit.ScriptModule, device_id: int) -> None:
    """Put weights that are apart onto a core."""
    _require_device()
    calls.append(("move_trace_to_device", {"device_id": device_id}))
    trace.on_device = True


def replace_weights(neuron_model: torch.jit.ScriptModule, weights: Any) -> None:
    """Replace weights that are apart."""
    given = weights.state_dict() if isinstance(weights, nn.Module) else weights
    calls.append(("replace_weights", {"names": len(given)}))
    if neuron_model.inline:
        raise RuntimeError("double: weights are in the NEFF")
    own = dict([*neuron_model.traced.named_parameters(), *neuron_model.traced.named_buffers()])
    with torch.no_grad():
        for name, value in given.items():
            if f"func.{name}" in own:
                own[f"func.{name}"].copy_(value)


def set_neuron_cores(trace: torch.jit.ScriptModule, start_nc: int = -1, nc_count: int = -1) -> None:
    """Place a graph on cores."""
    _require_cores(start_nc, nc_count)
    calls.append(("set_neuron_cores", {"start_nc": start_nc, "nc_count": nc_count}))


@contextmanager
def neuron_cores_context(start_nc: int = -1, nc_count: int = -1):
    """Place what is loaded in here on cores."""
    _require_cores(start_nc, nc_count)
    calls.append(("neuron_cores_context", {"start_nc": start_nc, "nc_count": nc_count}))
    yield


def set_multicore(trace: torch.jit.ScriptModule) -> None:
    """Put a graph on all cores."""
    calls.append(("set_multicore", {}))


@contextmanager
def multicore_context():
    """Put what is loaded in here on all cores."""
    calls.append(("multicore_context", {}))
    yield


def _require_device() -> None:
    if device.target is None:
        raise RuntimeError("double: NRT_FAILURE: no Neuron device")
    if device.busy:
        raise RuntimeError("double: nrt_init failed: NRT_RESOURCE: the device is in use by another process")


def _require_cores(start: int, count: int) -> None:
    _require_device()
    if start >= device.cores or start + max(count, 1) > device.cores:
        raise RuntimeError(f"double: NRT_INVALID: cores {start} to {start + count - 1} of {device.cores}")


class DataParallel:
    """Splits rows among cores."""

    def __init__(self, model: Any, device_ids: Any = None, dim: int = 0, set_dynamic_batching: bool = True):
        _require_cores(device_ids[0], len(device_ids))
        told = {"device_ids": device_ids, "dim": dim, "set_dynamic_batching": set_dynamic_batching}
        calls.append(("DataParallel", told))
        self.model, self.device_ids, self.dim = model, device_ids, dim
        self.num_workers = 2 * len(device_ids)

    def __call__(self, *tensors: Tensor) -> Any:
        shares = [tensor.chunk(len(self.device_ids), self.dim) for tensor in tensors]
        outputs = [self.model(*share) for share in zip(*shares, strict=True)]
        return tuple(torch.cat(parts, self.dim) for parts in zip(*outputs, strict=True))


class BucketModelConfig:
    """The kernel that tells which graph takes given inputs."""

    def __init__(
        self,
        bucket_kernel: Callable[..., Any],
        *_: Any,
        shared_state_buffer: Any = None,
        shared_state_buffer_preprocessor: Any = None,
        func_kwargs: Any = None,
    ) -> None:
        if _ or shared_state_buffer is not None or shared_state_buffer_preprocessor is not None:
            raise TypeError("double: shared states are not doubled")
        self.bucket_kernel, self.func_kwargs = bucket_kernel, func_kwargs or {}


def bucket_model_trace(
    func: Callable[..., Any],
    example_inputs: Any,
    bucket_config: BucketModelConfig,
    compiler_workdir: str | None = None,
    compiler_args: str | list[str] | None = None,
) -> torch.jit.ScriptModule:
    """Trace a function for several sizes, each in a process of its own, into one module."""
    _require_device()
    told = _compiler_arguments(compiler_args)
    source = pickle.loads(pickle.dumps(func))
    if not isinstance(example_inputs, list):
        raise TypeError("double: example_inputs is a list with one entry for each bucket")
    kernel = bucket_config.bucket_kernel()
    if not isinstance(kernel, torch.jit.ScriptFunction):
        raise TypeError("double: the kernel is made by torch.jit.script")
    calls.append(("bucket_model_trace", {"buckets": len(example_inputs), "compiler_args": compiler_args}))
    shell = nn.Module()
    for number, inputs in enumerate(example_inputs):
        model, aliases = source()
        script = _compiled(model, inputs, aliases, told.get("--target") or device.target, True)
        setattr(shell, f"bucket_{number}", script)
    shell.kernel = kernel
    shell.inline, shell.on_device = True, True
    shell.rows_may_vary, shell.loads_later = False, False
    script = torch.jit.script(shell)
    names = [f"x{number}" for number in range(len(example_inputs[0]))]
    lines = [f"def forward(self, {', '.join(names)}):"]
    lines += [f"    tensors, index = self.kernel([{', '.join(names)}])", "    number = int(index)"]
    chosen = ", ".join(f"tensors[{number}]" for number in range(len(names)))
    for number in range(len(example_inputs) - 1):
        lines += [f"    if number == {number}:", f"        return self.bucket_{number}({chosen})"]
    lines += [f"    return self.bucket_{len(example_inputs) - 1}({chosen})"]
    script.define("\n".join(lines) + "\n")
    return script
