"""What a report says: all jobs of a sweep, and what became of each so far. The rest is how it looks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal
from urllib.parse import quote

from neuron_catalog.inventory import MANIFEST_NAME
from neuron_catalog.sweeping.jobs import Job, Outcome

Standing = Literal["done", "cached", "failed", "not_done"]
WORDS: dict[Standing, str] = {
    "done": "done",
    "cached": "from the cache",
    "failed": "failed",
    "not_done": "not done yet",
}
"""Where a job stands → how a report calls it, in its order."""


@dataclass(frozen=True)
class Line:
    """A job, and what became of it if that is known."""

    job: Job
    outcome: Outcome | None

    @property
    def state(self) -> Standing:
        """Where the job stands; without an outcome it is not done yet, whether it runs or not."""
        return self.outcome.state if self.outcome else "not_done"

    @property
    def has_artifact(self) -> bool:
        """Whether there is an artifact to look at."""
        return self.state in ("done", "cached")

    @property
    def failure(self) -> tuple[str, str]:
        """Cause and remedy, if the job failed."""
        if self.outcome is None or self.outcome.state != "failed":
            return "", ""
        return self.outcome.cause or "No cause was recorded.", self.outcome.remedy

    @property
    def seconds(self) -> float | None:
        """Time that the job took, if that is known."""
        return _number(self.outcome.seconds if self.outcome else None)

    @property
    def megabytes(self) -> int | None:
        """Peak of its process in MiB, if that is known."""
        return self.outcome.megabytes if self.outcome else None

    @property
    def attempts(self) -> int | None:
        """How often it was begun, if that is known."""
        return self.outcome.attempts if self.outcome else None

    @property
    def artifact_bytes(self) -> int | None:
        """Size of its artifact, if there is one."""
        return self.outcome.artifact_bytes if self.outcome and self.has_artifact else None

    @property
    def difference(self) -> float | None:
        """Largest difference from the eager model as a share of what is allowed, if that is a number."""
        return _number(self.outcome.difference if self.outcome else None)

    @property
    def where(self) -> str:
        """What did it, if that is known."""
        return self.outcome.where if self.outcome else ""


@dataclass(frozen=True)
class Failure:
    """Jobs that failed for the same cause."""

    cause: str
    remedy: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Report:
    """All jobs of a sweep."""

    place: str
    lines: tuple[Line, ...]
    folder: str = ""
    """What the address of an artifact begins with; empty for a report that lies beside them."""

    @cached_property
    def totals(self) -> dict[Standing, int]:
        """How many jobs are in each state."""
        count = Counter(line.state for line in self.lines)
        return {state: count[state] for state in WORDS}

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """What failed, by cause and remedy, the most frequent first."""
        found: dict[tuple[str, str], list[Line]] = {}
        for line in self.lines:
            if line.state == "failed":
                found.setdefault(line.failure, []).append(line)
        groups = [Failure(*failure, tuple(lines)) for failure, lines in found.items()]
        return tuple(sorted(groups, key=lambda group: -len(group.lines)))

    @property
    def seconds(self) -> float:
        """Time that all jobs took, one after the other."""
        return math.fsum(line.seconds or 0 for line in self.lines)

    @property
    def artifact_bytes(self) -> int:
        """Size of all artifacts."""
        return sum(line.artifact_bytes or 0 for line in self.lines)

    def manifest(self, line: Line) -> str | None:
        """Return the address of a job's manifest, if it has an artifact."""
        if not line.has_artifact:
            return None
        return f"{self.folder}{quote(line.job.name, safe='+')}/{MANIFEST_NAME}"


def report_of(place: str, jobs: Iterable[Job], outcomes: Mapping[str, Outcome], folder: str = "") -> Report:
    """Put jobs and outcomes together. Outcomes of what is no job of the sweep are passed over."""
    return Report(place, tuple(Line(job, outcomes.get(job.name)) for job in jobs), folder)


def _number(value: float | None) -> float | None:
    """Return a number that JSON has; a damaged outcome may hold others."""
    return value if value is not None and math.isfinite(value) else None
