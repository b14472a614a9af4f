"""Size options: one for each axis of the shipped families, and `--axis` for those of a user's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from neuron_catalog.errors import UsageError

PANEL = "Sizes (a compiled graph has fixed shapes)"

SIZES = {
    "batch_size": "Rows per call.",
    "sequence_length": "Tokens per row, padding included.",
    "num_choices": "Candidates per row, for multiple-choice.",
}
"""Axis → help. A test holds this to the axes of the shipped families."""


def with_sizes(command: Callable[..., None]) -> Callable[..., None]:
    """Add the size options to a command, which gets those that were given as `axes: dict[str, int]`."""

    @functools.wraps(command)
    def collected(**given: Any) -> None:
        named = {axis: given.pop(axis) for axis in SIZES}
        axes = {axis: size for axis, size in named.items() if size is not None}
        axes |= _parsed(given.pop("axis") or [])
        command(**given, axes=axes)

    signature = inspect.signature(command, eval_str=True)
    own = [p for name, p in signature.parameters.items() if name != "axes"]
    sizes = [_option(axis, int | None, help, metavar="N") for axis, help in SIZES.items()]
    more = _option("axis", list[str] | None, "Any axis by name; repeatable.", metavar="NAME=N")
    collected.__signature__ = signature.replace(parameters=[*own, *sizes, more])  # type: ignore[attr-defined]
    collected.__annotations__ = {p.name: p.annotation for p in (*own, *sizes, more)}
    return collected


def _option(name: str, kind: Any, help: str, metavar: str) -> inspect.Parameter:
    option = typer.Option(f"--{name}", help=help, metavar=metavar, rich_help_panel=PANEL)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _parsed(pairs: list[str]) -> dict[str, int]:
    axes = {}
    for pair in pairs:
        name, _, size = pair.partition("=")
        if not name or not size.isdigit():
            raise UsageError(
                f"--axis {pair} is not of the form NAME=N.", "Write for example: --axis width=224"
            )
        axes[name.replace("-", "_")] = int(size)
    return axes
