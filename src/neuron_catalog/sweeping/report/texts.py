"""A report for programs, as JSON, and for people, as Markdown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from neuron_catalog.sweeping.report.facts import WORDS, Failure, Line, Report

MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""Signs that Markdown would take for more than themselves. Underscores inside of words it leaves alone."""

UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Signs that steer a terminal, or turn the direction of what stands around them."""

FIGURES = ("seconds", "MB", "peak MiB", "difference")
COLUMNS = ("model", "task", "sizes", "backend", "state", *FIGURES, "manifest")
MOST_NAMED = 20
"""Jobs that are named beneath one cause; the table has them all."""


def as_json(report: Report) -> str:
    """Return the report as JSON, a line for each job. Nothing in it says when or where it was written."""
    head: dict[str, Any] = {
        "format": 1,
        "place": report.place,
        "totals": {"jobs": len(report.lines), **report.totals},
    }
    jobs = ",\n".join(json.dumps(facts(report, line), ensure_ascii=False) for line in report.lines)
    return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "jobs": [\n{jobs}\n]}}\n'


def facts(report: Report, line: Line) -> dict[str, Any]:
    """Return what the report says of a job; None where nothing is known yet."""
    job = line.job
    cause, remedy = line.failure
    return {
        "name": job.name,
        "source": job.source,
        "architecture": job.architecture,
        "task": job.task,
        "axes": job.model_dump(mode="json")["axes"],
        "backend": job.backend,
        "state": line.state,
        "seconds": line.seconds,
        "megabytes": line.megabytes,
        "attempts": line.attempts,
        "artifact_bytes": line.artifact_bytes,
        "difference": line.difference,
        "cause": cause,
        "remedy": remedy,
        "where": line.where,
        "manifest": report.manifest(line),
    }


def as_markdown(report: Report) -> str:
    """Return the report as Markdown: totals, what failed and why, and a table of all jobs."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "# Sweep report"
    yield f"{plain(report.place)}\n"
    yield from _table(("state", "jobs"), [(WORDS[state], n) for state, n in report.totals.items()], ("jobs",))
    if report.failures:
        yield "\n## Failures"
        for failure in report.failures:
            yield from _failure(failure)
    yield "\n## Jobs"
    yield "Difference is the largest from the eager model, as a share of what is allowed.\n"
    yield from _table(COLUMNS, (_cells(report, line) for line in report.lines), FIGURES)


def _failure(failure: Failure) -> Iterator[str]:
    yield f"\n### {len(failure.lines)} × {plain(failure.cause)}"
    if failure.remedy:
        yield f"→ {plain(failure.remedy)}"
    yield ""
    for line in failure.lines[:MOST_NAMED]:
        yield f"- {plain(line.job.name)}"
    if len(failure.lines) > MOST_NAMED:
        yield f"- and {len(failure.lines) - MOST_NAMED} more"


def _cells(report: Report, line: Line) -> list[Any]:
    job, size = line.job, line.artifact_bytes
    manifest = report.manifest(line)
    return [
        plain(job.source),
        plain(job.task),
        plain(job.sizes),
        plain(job.backend),
        WORDS[line.state],
        "" if line.seconds is None else f"{line.seconds:.1f}",
        "" if size is None else f"{size / 1e6:.1f}",
        "" if line.megabytes is None else line.megabytes,
        "" if line.difference is None else f"{line.difference:.2g}",
        f"[manifest](<{manifest.translate(IN_ADDRESS)}>)" if manifest else "",
    ]


IN_ADDRESS = str.maketrans({sign: f"%{ord(sign):02X}" for sign in "<>\\|`\n\r"})
"""What would end an address in Markdown, or the cell that it is in."""


def _table(titles: Iterable[str], rows: Iterable[Iterable[Any]], figures: Iterable[str]) -> Iterator[str]:
    titles, right = tuple(titles), set(figures)
    yield f"| {' | '.join(titles)} |"
    yield f"|{'|'.join('---:' if title in right else '---' for title in titles)}|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def plain(text: str) -> str:
    """Return a text as Markdown that shows it as it is, in one line."""
    line = UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(text.split()))
    return MARKUP.sub(r"\\\g<0>", html.escape(line, quote=False))
