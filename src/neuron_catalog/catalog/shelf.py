"""Documents of one kind by name, each read and checked when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from neuron_catalog.catalog.loader import Entry, load
from neuron_catalog.errors import CatalogError, Finding
from neuron_catalog.schema.words import Strict

D = TypeVar("D", bound=Strict)


class Shelf(Mapping[str, D]):
    """Name → document. One broken file does not keep the others from being used."""

    def __init__(
        self, files: Mapping[str, Path], model: type[D], check: Callable[[Entry[D]], Iterable[Finding]]
    ) -> None:
        self.files = files
        self._model = model
        self._check = check
        self._known: dict[str, D] = {}

    def __getitem__(self, name: str) -> D:
        if name not in self._known:
            entry = load(self.files[name], self._model)
            raise_if_any(self._check(entry))
            self._known[name] = entry.document
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a file of this name, without reading it."""
        return name in self.files

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def raise_if_any(findings: Iterable[Finding]) -> None:
    """Raise a CatalogError with the findings, if there are any."""
    found = tuple(findings)
    if found:
        raise CatalogError(found)
