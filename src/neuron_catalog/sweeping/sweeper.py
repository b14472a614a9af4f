"""Run the jobs of a sweep with an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

from neuron_catalog.errors import RequestError, RequirementError, nearest
from neuron_catalog.sweeping.destination import Destination, SweepRecord
from neuron_catalog.sweeping.engine import Bounds, Engine, Order, drive
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.local import LocalEngine

USUAL_PROCESSES = 2


@dataclass(frozen=True)
class Crew:
    """What does the jobs, as it was asked for."""

    engine: str = "local"
    workers: int | None = None
    """How many jobs at once; None for what the engine takes to be right."""
    address: str | None = None
    """Of the cluster."""


def _local(order: Order, crew: Crew) -> Engine:
    workers = crew.workers or USUAL_PROCESSES
    if order.bounds.neuron_cores and workers > 1:
        raise RequestError(
            "The engine local does not share out NeuronCores.", "Add --jobs 1, or take --engine ray."
        )
    return LocalEngine(order, workers)


def _ray(order: Order, crew: Crew) -> Engine:
    from neuron_catalog.sweeping.on_ray import RayEngine

    return RayEngine(order, crew.workers, crew.address)


ENGINES: dict[str, Callable[[Order, Crew], Engine]] = {"local": _local, "ray": _ray}


def require(crew: Crew) -> None:
    """Make sure that there is an engine of this name, and that what it needs is installed.

    Raises:
        RequestError: if there is none, or it takes no address.
        RequirementError: if Ray is not installed.
    """
    if crew.engine not in ENGINES:
        raise RequestError(
            f"There is no engine {crew.engine!r}; {nearest(crew.engine, ENGINES)}", "Leave --engine out."
        )
    if crew.engine != "ray" and crew.address:
        raise RequestError("An address is that of a Ray cluster.", "Add --engine ray.")
    if crew.engine == "ray" and find_spec("ray") is None:
        raise RequirementError(
            "The engine ray needs Ray, which is not installed.",
            'Install it with: pip install "neuron-catalog[ray]"',
        )


@contextmanager
def opened(destination: Destination, record: SweepRecord, crew: Crew) -> Iterator[Engine]:
    """Have an engine ready while the block runs.

    Raises:
        RequestError, RequirementError: if it cannot be: no cluster, other versions there.
    """
    order = Order(destination.place, record.catalogs, Bounds.of(record.limits))
    with ENGINES[crew.engine](order, crew) as engine:
        yield engine


def sweep(
    destination: Destination,
    jobs: Sequence[Job],
    record: SweepRecord,
    engine: Engine,
    on_start: Callable[[Job], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Do jobs, and yield their outcomes; each is written down when it is yielded. See `drive`.

    Raises:
        RequestError: if an outcome cannot be written.
    """
    for outcome in drive(engine, jobs, record.limits.retries, on_start):
        if outcome.state == "failed":
            destination.write(outcome)  # whoever did it may have been killed before it could
        yield outcome
