"""The engine of one machine: processes, each of which does one job at a time."""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import suppress
from multiprocessing.connection import wait

import psutil  # type: ignore[import-untyped]

from neuron_catalog.sweeping.engine import Bounds, Lost, Order
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.process import OUT_OF_MEMORY, serve

JOBS_PER_PROCESS = 60
"""A process is replaced after so many jobs: TorchScript keeps what it compiled until its process ends."""

PATIENCE = 5.0
"""Seconds that a process has to unwind, and to end the compiler that it started, before it is killed."""

TRY_AGAIN = "Run: neuron-catalog sweep resume --failed"


class LocalEngine:
    """Processes of this machine. One that dies, whenever it does, is replaced.

    Each has a connection of its own, and nothing is shared: a process that is killed can neither keep a lock
    nor take the jobs of others with it.
    """

    def __init__(self, order: Order, workers: int) -> None:
        self._order, self._workers = order, workers
        self._free: list[Hand] = []
        self._busy: list[Hand] = []
        self._leaving: list[Hand] = []

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for hand in (*self._free, *self._leaving):
            hand.dismiss()
        for hand in self._busy:
            hand.process.terminate()
        for hand in (*self._busy, *self._free, *self._leaving):
            hand.end()

    def workers(self) -> int:
        """Return the number of processes."""
        return self._workers

    capacity = workers

    def start(self, job: Job, attempt: int) -> Hand:
        """Give a job to a process that is free, or to a new one."""
        hand = self._free.pop() if self._free else Hand(self._order, self._workers)
        if not hand.process.is_alive():  # it was killed while it had nothing to do
            hand.end()
            hand = Hand(self._order, self._workers)
        hand.begin(job, attempt)
        self._busy.append(hand)
        return hand

    def next_ended(self) -> tuple[Hand, Outcome | Lost]:
        """Wait for the next process that has done its job, has died of it, or has taken too long."""
        hand = self._next()
        self._busy.remove(hand)
        outcome = hand.outcome()
        if outcome is None:
            late = hand.is_late()
            if not late:
                hand.process.join(PATIENCE)  # it is about to end by itself, with its own exit code
            hand.end()
            return hand, _lost(None if late else hand.process.exitcode, self._order.bounds, hand.seconds)
        if hand.jobs < JOBS_PER_PROCESS:
            self._free.append(hand)
        else:
            hand.dismiss()
            self._leaving.append(hand)
        return hand, outcome

    def _next(self) -> Hand:
        first = min(self._busy, key=lambda hand: hand.deadline)
        seconds = max(0.0, first.deadline - time.monotonic())
        signs = {sign: hand for hand in self._busy for sign in (hand.connection, hand.process.sentinel)}
        ready = wait([*signs], None if seconds == float("inf") else seconds)
        return signs[ready[0]] if ready else first  # type: ignore[index]


class Hand:
    """A process that does one job after the other."""

    def __init__(self, order: Order, workers: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(theirs, order, workers), daemon=True)
        self.process.start()
        theirs.close()
        self.jobs = 0
        self._most_seconds = order.bounds.seconds or float("inf")
        self._begun = time.monotonic()

    def begin(self, job: Job, attempt: int) -> None:
        """Give it a job. If the process has died meanwhile, its end will tell."""
        self.jobs += 1
        self._begun = time.monotonic()
        with suppress(OSError):
            self.connection.send((job, attempt))

    @property
    def deadline(self) -> float:
        """When its job has taken too long, by the monotonic clock."""
        return self._begun + self._most_seconds

    @property
    def seconds(self) -> float:
        """How long its job takes."""
        return time.monotonic() - self._begun

    def is_late(self) -> bool:
        """Whether the process is there, and its job has taken too long."""
        return self.process.is_alive() and time.monotonic() >= self.deadline

    def outcome(self) -> Outcome | None:
        """Return what became of its job; None if the process has not said it."""
        with suppress(EOFError, OSError):
            if self.connection.poll():
                told: Outcome = self.connection.recv()
                return told
        return None

    def dismiss(self) -> None:
        """Tell it that there are no more jobs."""
        self.connection.close()

    def end(self) -> None:
        """Wait until the process is gone; if it still has a job, make it go."""
        if not self.connection.closed:
            self.process.terminate()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            with suppress(psutil.NoSuchProcess):
                for each in psutil.Process(self.process.pid).children(recursive=True):
                    each.kill()
            self.process.kill()
            self.process.join()
        self.connection.close()


def _lost(code: int | None, bounds: Bounds, seconds: float) -> Lost:
    """Say why a process ended by its exit code; without one it took too long."""
    if code is None:
        minutes = (bounds.seconds or 0) / 60
        return Lost(
            f"It took more than {minutes:g} minutes, and was ended.", "Raise limits.minutes.", seconds
        )
    if code == OUT_OF_MEMORY:
        memory = (bounds.memory_bytes or 0) / 1e9
        return Lost(f"It took more than {memory:g} GB of memory.", "Raise limits.memory.", seconds)
    return Lost(f"Its process was ended from outside ({_name(code)}).", TRY_AGAIN, seconds, again=True)


def _name(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"code {code}"
    except ValueError:
        return f"signal {-code}"
