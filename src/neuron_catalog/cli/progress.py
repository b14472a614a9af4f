"""How far a sweep is: a live table on a terminal, elsewhere a line or a JSON object for each job."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

import typer

if TYPE_CHECKING:
    from neuron_catalog.sweeping.jobs import Job, Outcome

MOST_SHOWN = 12
"""Jobs that a terminal shows at once; those that were begun first."""

WORDS = {"done": "done", "cached": "from the cache", "failed": "FAILED"}


@dataclass
class Progress:
    """What is known of a sweep while it runs."""

    total: int
    workers: int
    as_json: bool = False
    live: Any = None
    """A `rich.live.Live`, on a terminal."""
    states: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    """Of the jobs that were done since it began."""
    count: int = 0
    out: TextIO = field(default_factory=lambda: sys.stdout)
    begun: dict[str, float] = field(default_factory=dict)
    """Name of a job that is being done → when it was begun."""

    def begin(self, job: Job) -> None:
        """Take in that a job was given to the engine."""
        self.begun[job.name] = time.monotonic()

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome in, and show it."""
        self.states[outcome.state] += 1
        self.seconds += outcome.seconds
        self.count += 1
        self.begun.pop(outcome.job.name, None)
        if self.as_json:
            self.print(json.dumps({"event": outcome.state, **outcome.model_dump(mode="json")}))
            return
        told = f"{outcome.job.name}: {WORDS[outcome.state]}, {outcome.seconds:.1f} s"
        if outcome.state == "failed":
            told = f"{told}. {outcome.cause} {outcome.remedy}".rstrip()
        if self.live is None:
            self.print(f"[{self.states.total()}/{self.total}] {told}")
            return
        if outcome.state == "failed":
            self.live.console.print(told, markup=False, highlight=False)

    def print(self, line: str) -> None:
        """Print one line."""
        typer.echo(line, file=self.out)

    def table(self) -> Any:
        """Return what a terminal shows: the jobs that are being done, with their times, and a line of all."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        now, jobs = time.monotonic(), Table.grid(padding=(0, 2))
        jobs.add_column(no_wrap=True, overflow="ellipsis")
        jobs.add_column(justify="right", no_wrap=True)
        for name, begun in itertools.islice(self.begun.items(), min(self.workers, MOST_SHOWN)):
            jobs.add_row(Text(name), spoken(now - begun))
        return Group(jobs, Text(self.line()))

    def line(self) -> str:
        """Return the state of everything in one line."""
        left = self.total - self.states.total()
        running = min(self.workers, left)
        told = summary(self.total, self.states, running)
        if not self.count or not left:
            return told
        return f"{told}, about {spoken(self.seconds / self.count * left / self.workers)} left"


@contextmanager
def progress_of(
    total: int, before: Sequence[Outcome], workers: int, as_json: bool, out: TextIO | None = None
) -> Iterator[Progress]:
    """Show the progress of a sweep while the block runs, and tell what came of it."""
    states: Counter[str] = Counter(each.state for each in before)
    progress = Progress(total, workers, as_json, states=states, out=out or sys.stdout)
    started = time.monotonic()
    with _live(progress) as progress.live:
        yield progress
    if not as_json:
        progress.print(f"{summary(total, progress.states)} in {spoken(time.monotonic() - started)}.")


def _live(progress: Progress) -> Any:
    if progress.as_json or not progress.out.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.live import Live

    return Live(
        get_renderable=progress.table,
        console=Console(file=progress.out),
        transient=True,
        refresh_per_second=4,
    )


def summary(total: int, states: Mapping[str, int], running: int = 0) -> str:
    """Return how many jobs are in which state."""
    waiting = total - sum(states.values()) - running
    parts = [f"{states.get(state, 0)} {word.lower()}" for state, word in WORDS.items()]
    parts += [f"{count} {word}" for count, word in ((running, "running"), (waiting, "not done yet")) if count]
    return f"{counted(total, 'job')}: {', '.join(parts)}"


def counted(number: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number} {word}{'s' * (number != 1)}"


def spoken(seconds: float) -> str:
    """Return a time in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
