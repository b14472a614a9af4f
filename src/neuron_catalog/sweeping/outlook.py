"""What a sweep would find in the compile cache, and how long the rest may take."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import NeuronCatalogError
from neuron_catalog.storage.cache import CompileCache, Entry, usual_cache
from neuron_catalog.sweeping.jobs import Job, source_name

MOST_ASKED = 1_000
"""Jobs that the cache is asked for: to know the key of one takes 2 ms or more."""

COPY_SECONDS = 0.5
"""What a job takes that is in the cache."""


@dataclass(frozen=True)
class Outlook:
    """What is known of jobs before they are done."""

    cached: frozenset[str]
    """Names of jobs that are in the compile cache."""
    not_asked: int
    """Jobs that may be, beyond those that were looked up."""
    seconds: float
    """Of one process, as long as such exports took before."""
    unknown: int
    """Jobs of which none has been done before; they are not in `seconds`."""


def outlook(jobs: Sequence[Job], catalog: Catalog) -> Outlook:
    """Look jobs up in the compile cache, and add up what their likes took."""
    cache = usual_cache()
    entries = list(cache.entries()) if cache else []
    known = _by_kind(entries)
    possible = [job for job in jobs if _maybe(job, known[_kind(job)])]
    asked = possible[:MOST_ASKED]
    cached = frozenset(job.name for job in asked if cache and _is_cached(job, cache, catalog))
    left = [job for job in jobs if job.name not in cached]
    alike = Counter((_kind(job), job.model) for job in left)
    took = {(kind, model): _seconds(kind, model, known[kind], catalog) for kind, model in alike}
    seconds = sum(count * (took[each] or 0) for each, count in alike.items())
    unknown = sum(count for each, count in alike.items() if took[each] is None)
    return Outlook(cached, len(possible) - len(asked), seconds + COPY_SECONDS * len(cached), unknown)


Kind = tuple[str, str, str]


def _kind(job: Job) -> Kind:
    return job.architecture, job.task, job.backend


def _by_kind(entries: Iterable[Entry]) -> defaultdict[Kind, list[dict[str, Any]]]:
    found: defaultdict[Kind, list[dict[str, Any]]] = defaultdict(list)
    for entry in entries:
        title = entry.title
        found[str(title.get("architecture")), str(title.get("task")), str(title.get("backend"))].append(title)
    return found


def _maybe(job: Job, titles: list[dict[str, Any]]) -> bool:
    """Whether an entry has the sizes of a job; only then its key is worth the time."""
    return any(all(_has(axes, job) for axes in title.get("axes", ())) for title in titles)


def _has(axes: dict[str, int], job: Job) -> bool:
    return all(
        axes.get(axis) == size if isinstance(size, int) else axes.get(axis) in size
        for axis, size in job.axes.items()
    )


def _is_cached(job: Job, cache: CompileCache, catalog: Catalog) -> bool:
    from neuron_catalog.exporting.forecast import future_key  # these begin torch and transformers
    from neuron_catalog.exporting.request import resolve
    from neuron_catalog.sweeping.work import request_of

    try:
        key = future_key(resolve(request_of(job, Path(job.name)), catalog), job.validation)
    except NeuronCatalogError:  # the job will tell
        return False
    return key is not None and cache.find(key) is not None


def _seconds(kind: Kind, model: str | None, titles: list[dict[str, Any]], catalog: Catalog) -> float | None:
    """Return what the same model took with other sizes, or a tiny one when it was proved."""
    architecture, task, backend = kind
    source = source_name(architecture, model)
    took = [title["seconds"] for title in titles if title.get("source") == source and "seconds" in title]
    if took:
        return float(statistics.median(took))
    if model is not None:
        return None
    runs = [run for run in catalog.evidence(architecture) if run.task == task]
    of_backend = [run.seconds for run in runs if run.backend == backend] or [run.seconds for run in runs]
    return statistics.median(of_backend) if of_backend else None
