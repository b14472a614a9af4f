"""What an engine is: something that does jobs, many at once. And how jobs are given to one and taken back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from neuron_catalog.schema.sweeps import Limits
from neuron_catalog.sweeping.jobs import Job, Outcome

UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Bounds:
    """What one job may take, in numbers."""

    memory_bytes: int | None = None
    seconds: float | None = None
    retries: int = 1
    cpus: int | None = None
    neuron_cores: int = 0

    @classmethod
    def of(cls, limits: Limits) -> Bounds:
        """Return limits in numbers."""
        memory = int(limits.memory[:-1]) * UNITS[limits.memory[-1]] if limits.memory else None
        seconds = limits.minutes * 60 if limits.minutes else None
        return cls(memory, seconds, limits.retries, limits.cpus, limits.neuron_cores)


@dataclass(frozen=True)
class Order:
    """What is the same for all jobs of a sweep."""

    place: str
    """The destination."""
    catalogs: tuple[str, ...] = ()
    bounds: Bounds = Bounds()


@dataclass(frozen=True)
class Lost:
    """A job that was ended from outside, so that it could not tell what became of it."""

    cause: str
    remedy: str
    seconds: float
    again: bool = False
    """Whether it may end well if it is done once more."""


class Engine(Protocol):
    """Does jobs. It is entered before the first one; leaving it by an exception ends all that are running."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None: ...

    def workers(self) -> int:
        """Return how many jobs it does at once, as far as that is known now; 0 if it waits for a machine."""
        ...

    def capacity(self) -> int:
        """Return how many jobs it wants to have, running and waiting."""
        ...

    def start(self, job: Job, attempt: int) -> Hashable:
        """Take a job, and return what `next_ended` will call it."""
        ...

    def next_ended(self) -> tuple[Hashable, Outcome | Lost]:
        """Wait until a job has ended, and return what became of it."""
        ...


def drive(
    engine: Engine, jobs: Sequence[Job], retries: int, on_start: Callable[[Job], None] = lambda _: None
) -> Iterator[Outcome]:
    """Have jobs done, and yield each outcome when it is there, in no order.

    A job that was lost is done again, `retries` times. `on_start` hears of each that the engine is given.
    """
    waiting = deque((job, 1) for job in jobs)
    running: dict[Hashable, tuple[Job, int]] = {}
    while waiting or running:
        while waiting and len(running) < engine.capacity():
            job, attempt = waiting.popleft()
            running[engine.start(job, attempt)] = job, attempt
            on_start(job)
        handle, result = engine.next_ended()
        job, attempt = running.pop(handle)
        if isinstance(result, Outcome):
            yield result
        elif result.again and attempt <= retries:
            waiting.appendleft((job, attempt + 1))
        else:
            yield _outcome(job, attempt, result)


def _outcome(job: Job, attempt: int, lost: Lost) -> Outcome:
    return Outcome(
        job=job,
        state="failed",
        cause=lost.cause,
        remedy=lost.remedy,
        seconds=round(lost.seconds, 3),
        megabytes=None,
        attempts=attempt,
        where="",
    )
