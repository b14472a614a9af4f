"""What every command shares: the session, its catalog, and JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import typer

from neuron_catalog.catalog.index import Catalog, load_catalog

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True)
class Session:
    """The options that stand before the command."""

    folders: tuple[str, ...] = ()
    debug: bool = False

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog with the user's folders in front."""
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
