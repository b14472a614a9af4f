"""Run the jobs of a sweep with an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.schema.sweeps import Limits
from neuron_catalog.sweeping import local
from neuron_catalog.sweeping.destination import Destination, SweepRecord
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.local import Bounds

Engine = Callable[[Sequence[Job], str, tuple[str, ...], Bounds, int], Iterator[Outcome]]
"""Jobs, their destination, catalogs, limits and how many at once → outcomes as they come."""

ENGINES: dict[str, Engine] = {"local": local.run}

UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def sweep(
    destination: Destination, jobs: Sequence[Job], record: SweepRecord, engine: str, workers: int
) -> Iterator[Outcome]:
    """Do jobs, and yield their outcomes; each is written down when it is yielded.

    Raises:
        RequestError: if an outcome cannot be written.
    """
    for outcome in ENGINES[engine](
        jobs, destination.place, record.catalogs, bounds_of(record.limits), workers
    ):
        if outcome.state == "failed":
            destination.write(outcome)  # whoever did it may have been killed before it could
        yield outcome


def require_engine(name: str) -> None:
    """Make sure that there is an engine of this name.

    Raises:
        RequestError: if not.
    """
    if name not in ENGINES:
        raise RequestError(f"There is no engine {name!r}; {nearest(name, ENGINES)}.", "Leave --engine out.")


def bounds_of(limits: Limits) -> Bounds:
    """Return limits in numbers."""
    memory = int(limits.memory[:-1]) * UNITS[limits.memory[-1]] if limits.memory else None
    return Bounds(memory, limits.minutes * 60 if limits.minutes else None, limits.retries)
