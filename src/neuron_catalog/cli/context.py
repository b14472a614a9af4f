"""What every command shares: the session, its catalog, and JSON on standard output.

The command line imports a room when a command enters it, so that `--help` costs next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True)
class Session:
    """The options that stand before the command."""

    folders: tuple[str, ...] = ()
    debug: bool = False

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog with the user's folders in front."""
        from neuron_catalog.catalog.index import load_catalog

        return load_catalog(self.folders)


def catalog_of(context: typer.Context) -> Catalog:
    """Return the catalog of the running command."""
    session = context.obj
    assert isinstance(session, Session)
    return session.catalog


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns; the last one may be of any width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        typer.echo("  ".join(cells).rstrip())
