"""The engine of one machine: a pool of processes, each of which does one job at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import NoReturn

import psutil  # type: ignore[import-untyped]
from pebble import ProcessExpired, ProcessPool

from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.work import do, failed

OUT_OF_MEMORY = 99
"""How a process ends that has taken more memory than its job may."""

JOBS_PER_PROCESS = 60
"""A process is replaced after so many jobs: TorchScript keeps what it compiled until its process ends."""

AHEAD = 1
"""Jobs that are given to the pool before a process is free, so that none waits for the next."""

WATCH_SECONDS = 0.2
"""How often memory is looked at."""


@dataclass(frozen=True)
class Bounds:
    """What one job may take, in numbers."""

    memory_bytes: int | None = None
    seconds: float | None = None
    retries: int = 1


@dataclass
class _Running:
    job: Job
    attempt: int
    begun: float


def run(
    jobs: Sequence[Job], place: str, catalogs: tuple[str, ...], bounds: Bounds, workers: int
) -> Iterator[Outcome]:
    """Do jobs in processes, and yield each outcome when it is there, in no order.

    A job whose process was killed is done again, `retries` times. Whoever stops asking ends all processes.
    """
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPool(
        workers,
        max_tasks=JOBS_PER_PROCESS,
        initializer=_begin,
        initargs=(workers, bounds.memory_bytes),
        context=spawn,
    )
    waiting = deque((job, 1) for job in jobs)
    running: dict[Future[Outcome], _Running] = {}
    ended: SimpleQueue[Future[Outcome]] = SimpleQueue()
    try:
        while waiting or running:
            while waiting and len(running) < workers + AHEAD:
                job, attempt = waiting.popleft()
                future = pool.schedule(do, args=[job, place, catalogs, attempt], timeout=bounds.seconds)
                running[future] = _Running(job, attempt, time.monotonic())
                future.add_done_callback(ended.put)
            first = ended.get()
            each = running.pop(first)
            if _was_killed(first) and each.attempt <= bounds.retries:
                waiting.appendleft((each.job, each.attempt + 1))
            else:
                yield _outcome(first, each, bounds)
    except BaseException:
        pool.stop()  # type: ignore[no-untyped-call]
        raise
    else:
        pool.close()  # type: ignore[no-untyped-call]
    finally:
        pool.join()


def _was_killed(future: Future[Outcome]) -> bool:
    error = future.exception()
    return isinstance(error, ProcessExpired) and error.exitcode != OUT_OF_MEMORY


def _outcome(future: Future[Outcome], each: _Running, bounds: Bounds) -> Outcome:
    error = future.exception()
    if error is None:
        return future.result()
    seconds = time.monotonic() - each.begun
    return failed(each.job, _told(error, bounds), seconds, each.attempt, megabytes=None, where="")


def _told(error: BaseException, bounds: Bounds) -> tuple[str, str]:
    if isinstance(error, TimeoutError):
        return (
            f"It took more than {(bounds.seconds or 0) / 60:g} minutes, and was ended.",
            "Raise limits.minutes.",
        )
    if isinstance(error, ProcessExpired) and error.exitcode == OUT_OF_MEMORY:
        return f"It took more than {(bounds.memory_bytes or 0) / 1e9:g} GB of memory.", "Raise limits.memory."
    if isinstance(error, ProcessExpired):
        return (
            f"Its process was ended from outside ({_name(error.exitcode)}).",
            "Run: neuron-catalog sweep resume",
        )
    raise error


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"code {code}"
    except ValueError:
        return f"signal {-code}"


def _begin(workers: int, memory_bytes: int | None) -> None:
    """Share the cores; leave Ctrl-C to the first process; and end what takes too much."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    if memory_bytes:
        Thread(target=_watch, args=(memory_bytes,), daemon=True, name="memory").start()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Let a SIGTERM unwind, so that a compiler that was started ends, too."""
    del frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; another would disturb the unwinding
    raise SystemExit(128 + number)


def _watch(memory_bytes: int) -> None:
    own = psutil.Process()
    while True:
        time.sleep(WATCH_SECONDS)
        children = own.children(recursive=True)
        if sum(map(_resident, (own, *children))) > memory_bytes:
            for child in children:
                child.kill()
            os._exit(OUT_OF_MEMORY)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
