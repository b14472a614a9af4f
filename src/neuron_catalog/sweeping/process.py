"""A process that does jobs, one after the other: it leaves Ctrl-C to the one that began it, takes no more
memory than it may, and ends when that one is gone."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from threading import Event, Thread
from types import FrameType
from typing import NoReturn

import psutil  # type: ignore[import-untyped]

from neuron_catalog.sweeping.engine import Order

OUT_OF_MEMORY = 99
"""How a process ends that has taken more memory than its job may."""

WATCH_SECONDS = 0.2
"""How often memory, and who began this process, are looked at."""


_at_work = Event()


def serve(engine: Connection, order: Order, workers: int) -> None:
    """Do each job that is sent, and send what became of it, until the engine has no more."""
    begin(workers, order.bounds.cpus, order.bounds.memory_bytes)
    from neuron_catalog.sweeping.work import do

    while True:
        try:
            job, attempt = engine.recv()
        except EOFError:
            return
        _at_work.set()
        try:
            outcome = do(job, order.place, order.catalogs, attempt)
        finally:
            _at_work.clear()
        engine.send(outcome)


def begin(workers: int, cpus: int | None, memory_bytes: int | None) -> None:
    """Make a process ready for jobs. Each has its share of the cores, unless it is said how many."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    Thread(target=_watch, args=(parent, memory_bytes), daemon=True, name="watch").start()
    import torch

    torch.set_num_threads(cpus or max(1, (os.cpu_count() or 1) // workers))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Let a SIGTERM unwind, so that a compiler that was started ends, too."""
    del frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough; another would disturb the unwinding
    if not _at_work.is_set():
        os._exit(128 + number)
    raise SystemExit(128 + number)


def _watch(parent: int, memory_bytes: int | None) -> None:
    own = psutil.Process()
    while True:
        time.sleep(WATCH_SECONDS)
        if os.getppid() != parent:
            _leave(own, 128 + signal.SIGHUP)
        if memory_bytes and _at_work.is_set() and _taken(own) > memory_bytes:
            _leave(own, OUT_OF_MEMORY)


def _taken(own: psutil.Process) -> int:
    """Return the bytes of a process and of the compilers that it started."""
    return sum(map(_resident, (own, *own.children(recursive=True))))


def _leave(own: psutil.Process, code: int) -> NoReturn:
    for child in own.children(recursive=True):
        child.kill()
    os._exit(code)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
