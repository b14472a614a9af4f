"""Write docs/lowering.md from recorded runs of the backend xla; `--check` tells whether it is current.

What failed is in tools/not_lowered.jsonl, which tools/lower_catalog.py writes.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from neuron_catalog.catalog.evidence import Evidence
from neuron_catalog.catalog.index import Catalog

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "lowering.md"
FAILURES = ROOT / "tools" / "not_lowered.jsonl"
BACKEND = "xla"
DOUBTS = ("refused", "unknown")
"""What a recorded run says of operators that the Neuron compiler may not take."""

REASONS = {
    "values: ": "is lowered, and computes something else for other inputs than the examples",
    "XLA has no operator": "uses an operator that XLA does not have",
    "A value is needed": "looks into its tensors while it is traced",
    "Lowering failed": "is refused by torch-xla",
}
"""How a reason begins → what it means, in the order of the page."""

OTHERWISE = "fails otherwise"


def page_text() -> str:
    """Return the text of the page."""
    catalog = Catalog([ROOT / "catalog"])
    lowered = {name: runs(catalog, name) for name in catalog.names}
    failed = [json.loads(line) for line in FAILURES.read_text("utf-8").splitlines()]
    gone = {(each["architecture"], each["task"]) for each in failed}
    rows = {(name, task) for name in catalog.names for task in catalog.rows(name)}
    proved = {(name, task) for name, each in lowered.items() for task in each}
    jinja = Environment(
        loader=FileSystemLoader(ROOT / "tools" / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return jinja.get_template("lowering.md.j2").render(
        versions=sorted({tuple(run.versions.items()) for each in lowered.values() for run in each.values()}),
        rows=len(rows),
        proved=len(proved),
        failed=len(gone & rows - proved),
        not_run=len(rows - proved - gone),
        first=first_tasks(catalog, proved, gone),
        families=families(catalog, proved, rows),
        operators=operators(lowered),
        doubts={kind: doubtful(lowered, kind) for kind in DOUBTS},
        groups=groups([each for each in failed if (each["architecture"], each["task"]) not in proved]),
    )


def runs(catalog: Catalog, name: str) -> dict[str, Evidence]:
    """Return task → the newest recorded run of a definition as it is now."""
    found = [run for run in catalog.evidence(name) if run.backend == BACKEND]
    return {run.task: run for run in sorted(found, key=lambda run: run.date)}


def first_tasks(catalog: Catalog, proved: set[tuple[str, str]], gone: set[tuple[str, str]]) -> dict[str, int]:
    """Return how many architectures are proved in their first task, and how many failed in it."""
    first = [(name, next(iter(catalog.rows(name)))) for name in catalog.architectures]
    return {
        "all": len(first),
        "proved": sum(each in proved for each in first),
        "failed": sum(each in gone and each not in proved for each in first),
    }


def families(
    catalog: Catalog, proved: set[tuple[str, str]], rows: set[tuple[str, str]]
) -> list[tuple[str, int, int]]:
    """Return family, its rows that are proved, and all its rows."""
    names = {name: catalog.get(name).family for name in catalog.architectures}
    names |= {name: f"component of {catalog.components[name].family}" for name in catalog.components}
    names |= dict.fromkeys(catalog.pipelines, "pipelines")
    having, all_of = (Counter(names[name] for name, _ in each) for each in (proved, rows))
    return [(family, having[family], count) for family, count in sorted(all_of.items())]


def operators(lowered: dict[str, dict[str, Evidence]]) -> list[tuple[str, int, int]]:
    """Return operator, in how many rows it is, and how often in all; the most frequent first."""
    inside, times = Counter[str](), Counter[str]()
    for run in (run for each in lowered.values() for run in each.values()):
        found: Counter[str] = Counter()
        for graph in run.graphs.values():
            found.update(said(graph, "operators"))
        inside.update(found.keys())
        times.update(found)
    return [(name, count, times[name]) for name, count in sorted(inside.items(), key=lambda o: (-o[1], o[0]))]


def doubtful(lowered: dict[str, dict[str, Evidence]], kind: str) -> list[tuple[str, int, str]]:
    """Return operator, in how many rows it is, and the line of code that it comes from most often."""
    inside, places = Counter[str](), Counter[tuple[str, str]]()
    for run in (run for each in lowered.values() for run in each.values()):
        found: dict[str, str] = {}
        for graph in run.graphs.values():
            found |= said(graph, kind)
        inside.update(found.keys())
        places.update(found.items())
    usual = {operator: place for (operator, place), _ in reversed(places.most_common())}
    return [(name, count, usual[name]) for name, count in inside.most_common()]


def said(graph: Any, key: str) -> dict[str, Any]:
    """Return what a recorded graph says under a key."""
    return graph.get(key, {}) if isinstance(graph, dict) else {}


def groups(failed: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the rows that failed, by what their reasons mean."""
    found: dict[str, list[dict[str, str]]] = {
        meaning: [] for meaning in [*REASONS.values(), "fails otherwise"]
    }
    for row in failed:
        meaning = next(
            (m for begin, m in REASONS.items() if row["reason"].startswith(begin)), "fails otherwise"
        )
        found[meaning].append({**row, "reason": cell(row["reason"])})
    return [{"meaning": meaning, "rows": rows} for meaning, rows in found.items() if rows]


def cell(reason: str) -> str:
    """Return a reason as one cell of a table."""
    return reason.replace("|", "\\|").replace("<", "&lt;")[:200]


def main() -> int:
    """Write the page, or check it."""
    text = page_text()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text("utf-8") == text:
        return 0
    print(f"{PAGE.name} is not current: run python tools/generate_lowering_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
