"""The engine of one machine: a pool of processes, each of which does one job at a time."""

from __future__ import annotations

import multiprocessing
import signal
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from queue import SimpleQueue

from pebble import ProcessExpired, ProcessPool

from neuron_catalog.sweeping.engine import Bounds, Lost, Order
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.process import OUT_OF_MEMORY, begin, do_here

JOBS_PER_PROCESS = 60
"""A process is replaced after so many jobs: TorchScript keeps what it compiled until its process ends."""


class LocalEngine:
    """Processes of this machine. One that dies is replaced.

    Each is a pool of its own: a shared one breaks as a whole if a process dies that has no job yet, and
    a process that is killed may take the lock of what they share with it.
    """

    def __init__(self, order: Order, workers: int) -> None:
        self._order, self._workers = order, workers
        self._free = [self._new_pool() for _ in range(workers)]
        self._busy: dict[Future[Outcome], tuple[ProcessPool, float]] = {}
        self._ended: SimpleQueue[Future[Outcome]] = SimpleQueue()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        pools = [*self._free, *(pool for pool, _ in self._busy.values())]
        for pool in pools:
            pool.close() if kind is None else pool.stop()  # type: ignore[no-untyped-call]
        for pool in pools:
            pool.join()

    def workers(self) -> int:
        """Return the number of processes."""
        return self._workers

    capacity = workers

    def start(self, job: Job, attempt: int) -> Future[Outcome]:
        """Give a job to a process that is free."""
        order, pool = self._order, self._free.pop()
        if not pool.active:
            pool = self._replaced(pool)
        arguments = [job, order.place, order.catalogs, attempt]
        future = pool.schedule(do_here, args=arguments, timeout=order.bounds.seconds)
        self._busy[future] = pool, time.monotonic()
        future.add_done_callback(self._ended.put)
        return future

    def next_ended(self) -> tuple[Future[Outcome], Outcome | Lost]:
        """Wait for the next process that has done its job, or has died of it."""
        future = self._ended.get()
        pool, begun = self._busy.pop(future)
        error = future.exception()
        if error is None:
            self._free.append(pool)
            return future, future.result()
        self._free.append(self._replaced(pool))
        return future, _lost(error, self._order.bounds, time.monotonic() - begun)

    def _new_pool(self) -> ProcessPool:
        bounds = self._order.bounds
        return ProcessPool(
            1,
            max_tasks=JOBS_PER_PROCESS,
            initializer=begin,
            initargs=(self._workers, bounds.cpus, bounds.memory_bytes),
            context=multiprocessing.get_context("spawn"),
        )

    def _replaced(self, pool: ProcessPool) -> ProcessPool:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
        return self._new_pool()


def _lost(error: BaseException, bounds: Bounds, seconds: float) -> Lost:
    if isinstance(error, TimeoutError):
        minutes = (bounds.seconds or 0) / 60
        return Lost(
            f"It took more than {minutes:g} minutes, and was ended.", "Raise limits.minutes.", seconds
        )
    if isinstance(error, ProcessExpired) and error.exitcode == OUT_OF_MEMORY:
        memory = (bounds.memory_bytes or 0) / 1e9
        return Lost(f"It took more than {memory:g} GB of memory.", "Raise limits.memory.", seconds)
    if isinstance(error, ProcessExpired):
        cause = f"Its process was ended from outside ({_name(error.exitcode)})."
        return Lost(cause, TRY_AGAIN, seconds, again=True)
    if isinstance(error, BrokenProcessPool):
        return Lost("Its process was ended from outside before it began.", TRY_AGAIN, seconds, again=True)
    raise error


TRY_AGAIN = "Run: neuron-catalog sweep resume --failed"


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"code {code}"
    except ValueError:
        return f"signal {-code}"
