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
    from neuron_catalog.catalog.overview import Overview

Address = Annotated[str, typer.Argument(metavar="URL", help="Such as s3://bucket/folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
BackendName = Annotated[str | None, typer.Option("--backend", metavar="NAME", help="See `doctor`.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of example inputs and of tiny weights.")]


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

    @cached_property
    def overview(self) -> Overview:
        """The same catalog in short, which needs no pydantic where it is remembered."""
        from neuron_catalog.catalog.folders import catalog_folders
        from neuron_catalog.catalog.overview import Overview

        return Overview(catalog_folders(self.folders))


def catalog_of(context: typer.Context) -> Catalog:
    """Return the catalog of the running command."""
    return _session(context).catalog


def overview_of(context: typer.Context) -> Overview:
    """Return the catalog of the running command in short."""
    return _session(context).overview


def _session(context: typer.Context) -> Session:
    session = context.obj
    assert isinstance(session, Session)
    return session


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns; the last one may be of any width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = (zip(row, widths, strict=True) for row in rows)
    text = ["  ".join(cell.ljust(width) for cell, width in line).rstrip() + "\n" for line in lines]
    typer.echo("".join(text), nl=False)  # at once: it writes through, and that takes long for each line
