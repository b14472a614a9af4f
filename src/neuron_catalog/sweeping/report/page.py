"""A report as a page to explore in a browser."""

from __future__ import annotations

from neuron_catalog.inventory import MANIFEST_NAME
from neuron_catalog.pages.explorer import Column, Groups, Matrix, Page, Plot, State, Value, page_text
from neuron_catalog.sweeping.report.facts import WORDS, Line, Report

STATES = {
    "done": State(WORDS["done"], "✓", "good"),
    "cached": State(WORDS["cached"], "↺", "again"),
    "failed": State(WORDS["failed"], "✗", "bad"),
    "not_done": State(WORDS["not_done"], "·", "open"),
}


def as_page(report: Report) -> str:
    """Return the report as one HTML file that needs no other, and no network."""
    return page_text(
        Page(
            title="Sweep report",
            lead=report.place,
            noun="job",
            same="report.md",
            columns=_columns(report.folder),
            rows=[_row(line) for line in report.lines],
            states=STATES,
            good=("done", "cached"),
            goal="done",
            facts=_facts(report),
            matrix=Matrix("Models by task and backend", "model", ("task", "backend"), "sizes"),
            groups=Groups("Failures by cause", "cause", "remedy", ("model", "task", "backend", "sizes")),
            plots=(
                Plot("Largest difference, as a share of what is allowed", "difference", mark=1.0),
                Plot("Time of a job", "seconds"),
            ),
        )
    )


def _columns(folder: str) -> tuple[Column, ...]:
    return (
        Column(key="model", title="Model", searched=True),
        Column(key="task", title="Task", filtered=True, searched=True),
        Column(key="sizes", title="Sizes", searched=True),
        Column(key="backend", title="Backend", filtered=True, searched=True),
        Column(key="state", title="State", kind="state", filtered=True),
        Column(key="seconds", title="Time", kind="number", unit="s"),
        Column(key="bytes", title="Size", kind="number", unit="B"),
        Column(key="memory", title="Peak memory", kind="number", unit="MiB"),
        Column(key="difference", title="Difference", kind="share"),
        Column(key="manifest", title="Manifest", kind="link", link=(folder, "name", f"/{MANIFEST_NAME}")),
        Column(key="cause", title="Cause", shown=False, searched=True),
        Column(key="remedy", title="Remedy", shown=False),
        Column(key="architecture", title="Architecture", shown=False, searched=True),
        Column(key="attempts", title="Attempts", kind="number", shown=False),
        Column(key="where", title="Done by", shown=False),
        Column(key="name", title="Job", shown=False),
    )


def _row(line: Line) -> list[Value]:
    job = line.job
    return [
        job.source,
        job.task,
        job.sizes,
        job.backend,
        line.state,
        line.seconds,
        line.artifact_bytes,
        line.megabytes,
        line.difference,
        1 if line.has_artifact else 0,
        *line.failure,
        job.architecture,
        line.attempts,
        line.where,
        job.name,
    ]


def _facts(report: Report) -> tuple[tuple[str, str], ...]:
    largest = max((each for line in report.lines if (each := line.difference) is not None), default=None)
    told = [
        ("time of all jobs", _spoken(report.seconds) if report.seconds else ""),
        ("artifacts", _size(report.artifact_bytes) if report.artifact_bytes else ""),
        ("largest difference", "" if largest is None else f"{largest:.2g} of what is allowed"),
    ]
    return tuple((name, value) for name, value in told if value)


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(hours or minutes)
    return " ".join(parts if hours else [*parts, f"{rest} s"])
