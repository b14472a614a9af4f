"""Options for a Neuron compiler: one group of parameters for the commands that compile."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from neuron_catalog.errors import UsageError

PANEL = "Neuron compiler (backend neuronx)"

Kind = Any

OPTIONS: dict[str, tuple[Kind, tuple[str, ...], str, str]] = {
    "target": (str, ("--target", "--instance_type"), "NAME", "What to compile for: inf2, trn1, trn1n, trn2."),
    "auto_cast": (str, ("--auto_cast",), "WHAT", "What is computed in a lower type: none, matmul, all."),
    "auto_cast_type": (str, ("--auto_cast_type",), "TYPE", "The lower type: bf16, fp16, tf32."),
    "inline_weights_to_neff": (
        bool,
        ("--inline-weights-neff/--no-inline-weights-neff",),
        "",
        "Compile the weights into the graph, as is usual, or keep them beside it, to be replaced.",
    ),
    "num_cores": (int, ("--num_cores",), "N", "Cores of one graph: 1, since it is traced."),
    "tensor_parallel_size": (int, ("--tensor_parallel_size",), "N", "The same, as optimum-neuron calls it."),
    "async_load": (bool, ("--async_load/--no-async_load",), "", "Load the graph in the background."),
    "lazy_load": (bool, ("--lazy_load/--no-lazy_load",), "", "Load the graph when it is first called."),
    "compiler_workdir": (str, ("--compiler_workdir",), "DIR", "Keep what the compiler writes in DIR."),
    "compiler_timeout": (int, ("--compiler_timeout",), "SECONDS", "Stop the compiler after so long."),
    "compiler_args": (str, ("--compiler-args",), "ARGS", "More arguments of neuronx-cc; they count last."),
}
"""Option → its type, its spellings, what stands for a value, and help."""

LEVELS = {"-O1": 1, "-O2": 2, "-O3": 3}
"""How hard the compiler tries to make the graph fast."""


def with_compiler(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets those that were given as `compiler: dict`."""

    @functools.wraps(command)
    def collected(**given: Any) -> None:
        named = {name: given.pop(name) for name in OPTIONS}
        compiler = {name: value for name, value in named.items() if value is not None}
        levels = [level for level in LEVELS.values() if given.pop(f"level_{level}")]
        if len(levels) > 1:
            raise UsageError(f"-O{levels[0]} and -O{levels[1]} were both given.", "Keep one.")
        if levels:
            compiler["optlevel"] = levels[0]
        command(**given, compiler=compiler)

    signature = inspect.signature(command, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != "compiler"]
    options = [
        _parameter(
            name,
            kind | None,
            None,
            typer.Option(*spelt, metavar=metavar or None, help=help, rich_help_panel=PANEL),
        )
        for name, (kind, spelt, metavar, help) in OPTIONS.items()
    ]
    for spelt, level in LEVELS.items():
        told = typer.Option(spelt, help=f"Optimization level {level} of 3.", rich_help_panel=PANEL)
        options.append(_parameter(f"level_{level}", bool, False, told))
    collected.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    collected.__annotations__ = {p.name: p.annotation for p in (*own, *options)}
    return collected


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )
