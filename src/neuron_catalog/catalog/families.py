"""The families of a catalog, each read and checked when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from neuron_catalog.catalog.family_checks import check_family
from neuron_catalog.catalog.loader import load
from neuron_catalog.catalog.names import Surroundings
from neuron_catalog.errors import CatalogError, Finding
from neuron_catalog.schema.documents import Family


class LazyFamilies(Mapping[str, Family]):
    """Family name → family. Each is read and checked when it is first asked for."""

    def __init__(self, files: Mapping[str, Path], around: Surroundings) -> None:
        self._files = files
        self._around = around
        self._known: dict[str, Family] = {}

    def __getitem__(self, name: str) -> Family:
        if name not in self._known:
            entry = load(self._files[name], Family)
            raise_if_any(check_family(entry, self._around))
            self._known[name] = entry.document
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def raise_if_any(findings: Iterable[Finding]) -> None:
    """Raise a CatalogError with the findings, if there are any."""
    found = tuple(findings)
    if found:
        raise CatalogError(found)
