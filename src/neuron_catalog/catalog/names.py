"""What checks across files share: the names that other files define, and findings about unknown ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from neuron_catalog.catalog.loader import Entry
from neuron_catalog.catalog.source import YamlPath
from neuron_catalog.errors import Finding, nearest
from neuron_catalog.schema.components import Component, Pipeline
from neuron_catalog.schema.documents import Family, Task
from neuron_catalog.schema.words import ComponentLibrary, Library


@dataclass(frozen=True)
class Surroundings:
    """The names that the other levels define, against which one file is checked."""

    tasks: Mapping[str, Task]
    families: Mapping[str, Family]
    normalized_configs: Mapping[str, Mapping[str, str]]
    components: Mapping[str, Component] = field(default_factory=dict)
    pipelines: Collection[str] = ()

    @property
    def config_keys(self) -> set[str]:
        """The keys that any normalized config has."""
        return set[str]().union(*self.normalized_configs.values())


def renamed(entry: Entry[Any], key: str, name: str) -> Finding:
    """Say that a file is not named after what it defines."""
    fix = f"name the file {name}.yaml"
    return entry.source.finding((key,), "NC301", f"the file name differs from {name!r}", fix)


def named_after(library: Library | ComponentLibrary) -> str:
    """Return the name, or beginning of a name, of the architectures of another library than transformers."""
    return library.replace("_", "-")


def taken(entry: Entry[Any], key: str, name: str, named: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Say that a name means something else already; `named`: kind of thing → the names that it has.

    Commands and files of evidence know architectures, components and pipelines by their names alone.
    """
    for kind, names in named.items():
        if name in names:
            message = f"{name!r} is already the name of a {kind}"
            yield entry.source.finding((key,), "NC310", message, "choose another name")


TASKLESS = "components and pipelines have no tasks"


def unknown_tasks(
    entry: Entry[Any],
    where: YamlPath,
    names: Iterable[str],
    known: Iterable[str],
    kind: str = "task",
) -> Iterator[Finding]:
    """Yield a finding for each task that is not known; where there are no tasks at all, none is."""
    document = entry.document
    taskless = isinstance(document, Component | Pipeline) or getattr(document, "for_components", False)
    if taskless:
        yield from unknown(entry, where, names, (), "task", TASKLESS)
    else:
        yield from unknown(entry, where, names, known, kind)


def unknown(
    entry: Entry[Any],
    where: YamlPath,
    names: Iterable[str],
    known: Iterable[str],
    kind: str,
    fix: str = "",
) -> Iterator[Finding]:
    """Yield a finding for each name that is not known, at its own line if it has one."""
    allowed = set(known)
    for position, name in enumerate(names):
        if name not in allowed:
            step = name if (*where, name) in entry.source.marks else position
            message = f"unknown {kind} {name!r}"
            yield entry.source.finding((*where, step), "NC302", message, fix or nearest(name, allowed))
