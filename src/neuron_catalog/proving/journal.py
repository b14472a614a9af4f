"""A file of finished rows, from which an interrupted selftest goes on.

One JSON line for each row, appended as it comes. A row counts for later runs only if it passed and all that
decides about it is still the same: the definition, the seed, the versions, and the code of this package.
A line that was cut off, by a kill or a full disk, is dropped. One run at a time may use a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import pydantic
from pydantic import JsonValue

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.code import code_digest
from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends import choose
from neuron_catalog.manifest import Record
from neuron_catalog.proving.record import versions_of
from neuron_catalog.proving.selftest import Row, Way

BEGINNING = b'{"selftest": 1, '
"""How each line begins."""


class Basis(Record):
    """What the outcome of a row rests on, beside architecture, task and backend."""

    seed: int
    compiler: dict[str, JsonValue] = {}
    """What the compiler was asked."""
    definition: str
    """Digest of all that the catalog says about the architecture."""
    versions: dict[str, str]
    code: str


class Entry(Record):
    """One line of the file."""

    selftest: Literal[1] = 1
    """Version of the format."""
    basis: Basis
    row: Row


@dataclass(frozen=True)
class Journal:
    """The finished rows of selftests, those that are made in one way."""

    path: Path
    catalog: Catalog
    way: Way = field(default_factory=Way)

    def passed(self, names: Iterable[str]) -> list[Row]:
        """Return the rows of these architectures that passed before and need not be run again.

        Raises:
            RequestError: if a name is unknown, or the file is not one of finished rows.
            CatalogError: if the file of an architecture is wrong.
        """
        return [row for row in self.finished(names) if row.passed]

    def finished(self, names: Iterable[str]) -> list[Row]:
        """Return the rows of these architectures that were run before, whether they passed or not.

        Raises:
            RequestError: if a name is unknown, or the file is not one of finished rows.
            CatalogError: if the file of an architecture is wrong.
        """
        wanted = {(name, task): None for name in names for task in self.catalog.rows(name)}
        backend_name, _ = choose(self.way.backend)
        last = {
            (entry.row.architecture, entry.row.task): entry.row
            for entry in self._entries()
            if entry.row.backend == backend_name
            and (entry.row.architecture, entry.row.task) in wanted
            and entry.basis == self._basis(entry.row.architecture, backend_name)
        }
        return [row for key in wanted if (row := last.get(key))]

    def add(self, row: Row) -> None:
        """Append a finished row.

        Raises:
            RequestError: if the file cannot be written.
        """
        entry = Entry(basis=self._basis(row.architecture, row.backend), row=row)
        content = entry.model_dump(exclude={"row": {"passed"}})
        with _told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as stream:
                stream.write(json.dumps(content).encode() + b"\n")

    @cached_property
    def _code(self) -> str:
        """The code as it was when this run began."""
        return code_digest()

    def _basis(self, architecture: str, backend: str) -> Basis:
        return Basis(
            seed=self.way.seed,
            compiler=dict(self.way.compiler),
            definition=self.catalog.definition(architecture),
            versions=versions_of(self.catalog, architecture, backend),
            code=self._code,
        )

    def _entries(self) -> Iterator[Entry]:
        with _told(self.path):
            data = self.path.read_bytes() if self.path.exists() else b""
        *whole, rest = data.split(b"\n")
        for number, line in enumerate(whole, start=1):
            try:
                yield Entry.model_validate_json(line)
            except pydantic.ValidationError:
                raise self._refusal(number) from None
        if not rest:
            return
        if not rest.startswith(BEGINNING[: len(rest)]):
            raise self._refusal(len(whole) + 1)
        with _told(self.path):
            os.truncate(self.path, len(data) - len(rest))

    def _refusal(self, number: int) -> RequestError:
        return RequestError(
            f"{self.path}:{number} is no row of a selftest that this version can read.",
            "Give another file; it will be created.",
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"{path} cannot be read or written: {error.strerror}.", "Give a file in a folder of yours."
        ) from error
