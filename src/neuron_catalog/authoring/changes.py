"""What the installed transformers has and the catalog lacks, and the reverse. Nothing is run for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import transformers
from transformers import CONFIG_MAPPING

from neuron_catalog.authoring.anatomy import heads_of
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequirementError, nearest

Kind = Literal["added", "removed", "task added", "task removed"]


@dataclass(frozen=True)
class Change:
    """One difference between transformers and the catalog."""

    kind: Kind
    architecture: str
    tasks: tuple[str, ...]
    remedy: str
    """What to do: a command, or a change of the YAML."""


def changes(catalog: Catalog) -> tuple[Change, ...]:
    """Return every difference, by kind and name.

    A task that only transformers has is one to try: it may have been left out for a reason.
    """
    own = [name for name in catalog.architectures if catalog.get(name).library == "transformers"]
    return (*_added(catalog, own), *_removed(catalog, own), *_tasks(catalog, own))


def _added(catalog: Catalog, own: Iterable[str]) -> list[Change]:
    known = set(own)
    found = []
    for name in sorted(CONFIG_MAPPING):
        if name in known:
            continue
        try:
            tasks = tuple(head.task for head in heads_of(name, catalog))
        except RequirementError as error:
            found.append(Change("added", name, ("unknown",), error.cause))
            continue
        if tasks:
            found.append(Change("added", name, tasks, f"neuron-catalog new {name}"))
    return found


def _removed(catalog: Catalog, own: Iterable[str]) -> list[Change]:
    gone = [name for name in own if name not in CONFIG_MAPPING]
    hint = f"transformers {transformers.__version__} does not know it"
    return [
        Change("removed", name, catalog.supported_tasks(name), f"{hint}; {nearest(name, CONFIG_MAPPING)}")
        for name in gone
    ]


def _tasks(catalog: Catalog, own: Iterable[str]) -> list[Change]:
    found = []
    for name in own:
        if name not in CONFIG_MAPPING:
            continue
        there = {head.task for head in heads_of(name, catalog)}
        here = set(catalog.supported_tasks(name))
        if lost := tuple(sorted(here - there)):
            remedy = "requires:\n  transformers: {version: …, tasks: [" + ", ".join(lost) + "], reason: …}"
            found.append(Change("task removed", name, lost, remedy))
        if new := tuple(sorted(there - here)):
            remedy = "tasks:\n" + "\n".join(f"  {task}: […]" for task in new)
            found.append(Change("task added", name, new, remedy))
    return sorted(found, key=lambda change: change.kind)
