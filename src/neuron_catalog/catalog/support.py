"""What the catalog supports, as a page to explore in a browser: a row for each architecture and task."""

from __future__ import annotations

from collections.abc import Iterator

from neuron_catalog.catalog.evidence import Evidence
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.tiers import TIERS
from neuron_catalog.pages.explorer import Column, Page, Plot, State, Value
from neuron_catalog.schema.documents import Architecture

STATES = {
    "declared": State("declared", "·", "open"),
    "traced": State("traced", "◔", "again"),
    "lowered": State("lowered", "◑", "good"),
    "compiled": State("compiled", "◕", "good"),
    "device-verified": State("device-verified", "✓", "good"),
}
COLUMNS = (
    Column(key="architecture", title="Model type", searched=True),
    Column(key="task", title="Task", filtered=True, searched=True),
    Column(key="family", title="Family", filtered=True, searched=True),
    Column(key="tier", title="Tier", kind="state", filtered=True),
    Column(key="difference", title="Difference", kind="share"),
    Column(key="sizes", title="Mandatory sizes"),
    Column(key="remarks", title="Remarks", searched=True),
    Column(key="summary", title="What it is", shown=False, searched=True),
    Column(key="reasons", title="Why", shown=False),
    Column(key="versions", title="Passed with", shown=False),
    Column(
        key="definition",
        title="Definition",
        kind="link",
        shown=False,
        link=("../../catalog/architectures/", "architecture", ".yaml"),
    ),
)


def support_page(catalog: Catalog, bound: float, generated: str) -> Page:
    """Return the page of everything that the catalog supports.

    `bound` is what recorded differences are a share of: the share of the largest eager value that is allowed.
    """
    rows = [row for name in catalog.architectures for row in _rows(catalog, name, bound)]
    count = len({row[0] for row in rows})
    return Page(
        title="What is supported",
        lead=f"{count} model types, each with its tasks, and how far runs of tiny models prove them.",
        noun="combination",
        same="README.md",
        columns=COLUMNS,
        rows=rows,
        states=STATES,
        good=TIERS[TIERS.index("lowered") :],
        goal="lowered or more",
        plots=(Plot("Largest recorded difference, as a share of what is allowed", "difference", mark=1.0),),
        generated=generated,
    )


def _rows(catalog: Catalog, name: str, bound: float) -> Iterator[list[Value]]:
    architecture, runs = catalog.get(name), catalog.evidence(name)
    for task, tier in catalog.tiers(name).items():
        own = [run for run in runs if run.task == task]
        notes = list(_notes(architecture, task))
        yield [
            name,
            task,
            architecture.family,
            tier,
            _difference(own, bound),
            ", ".join(catalog.mandatory_axes(name, task)),
            ", ".join(dict.fromkeys(remark for remark, _ in notes)),
            architecture.summary,
            " ".join(dict.fromkeys(reason for _, reason in notes if reason)),
            "; ".join(sorted({_with(run) for run in own})),
            1,
        ]


def _difference(runs: list[Evidence], bound: float) -> float | None:
    """Return the largest difference that was recorded, as a share of what is allowed."""
    seen = [run.largest_scaled_difference / bound for run in runs]
    return float(f"{max(seen):.2g}") if seen else None


def _notes(architecture: Architecture, task: str) -> Iterator[tuple[str, str]]:
    """Yield what is to be known of an architecture and a task: a few words, and why if that is said."""
    for deviation in architecture.deviations:
        if not deviation.tasks or task in deviation.tasks:
            yield f"not {deviation.check}", deviation.reason
    for package, needed in architecture.requires.items():
        if not needed.tasks or task in needed.tasks:
            yield f"{package}{needed.version}", needed.reason
    for issue in architecture.known_issues:
        yield f"known issue with {issue.backend}", f"{issue.effect} ({issue.ref})."
    for limit in architecture.limits:
        yield f"{limit.axis} limited by {limit.at_most or limit.exactly}", ""


def _with(run: Evidence) -> str:
    return f"{run.backend}, torch {run.versions['torch']}, transformers {run.versions['transformers']}"
