"""Lower the catalog with torch-xla, verify each graph on XLA's CPU device, and record what passed.

It runs in an environment with the extra xla (`make xla-env`) and takes hours; started again it goes on. The
first task of each architecture comes first, then all that write texts, then the rest. What cannot be lowered,
or is not the model then, is written to tools/not_lowered.jsonl with the reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.cli.printing import print_row
from neuron_catalog.proving.journal import Journal
from neuron_catalog.proving.record import record
from neuron_catalog.proving.selftest import Row, Way, selftest

ROOT = Path(__file__).resolve().parents[1]
BACKEND = "xla"
BATCH = 120
"""Rows that are given to the processes at a time, which are fresh ones then."""


def in_order(catalog: Catalog, names: list[str]) -> list[tuple[str, str]]:
    """Return the rows to run, what matters most first."""
    first = [(name, next(iter(catalog.rows(name)))) for name in names]
    every = [(name, task) for name in names for task in catalog.rows(name)]
    writing = [
        (name, task) for name, task in every if task in catalog.tasks and catalog.tasks[task].generates
    ]
    return [*dict.fromkeys([*first, *writing, *every])]


def outcomes(catalog: Catalog, rows: list[tuple[str, str]], jobs: int) -> Iterator[Row]:
    """Yield the outcomes of rows, about in their order."""
    for start in range(0, len(rows), BATCH):
        wanted = set(rows[start : start + BATCH])
        names = [*dict.fromkeys(name for name, _ in rows[start : start + BATCH])]
        others = [
            Row(architecture=name, task=task, backend=BACKEND)
            for name in names
            for task in catalog.rows(name)
            if (name, task) not in wanted
        ]
        yield from selftest(catalog, names, Way(BACKEND), jobs=jobs, done=others)


def write_failures(path: Path, rows: list[Row]) -> None:
    """Write the rows that did not pass, with the first line of the reason."""
    lines = [
        json.dumps(
            {"architecture": row.architecture, "task": row.task, "reason": row.complaint.splitlines()[0]}
        )
        for row in sorted(rows, key=lambda row: (row.architecture, row.task))
        if not row.passed
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main() -> int:
    """Run what is left; return 0, since a row that cannot be lowered is a result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architectures", nargs="*", help="All if none is given.")
    parser.add_argument("--catalog", type=Path, default=ROOT / "catalog")
    parser.add_argument("--journal", type=Path, default=ROOT / "build" / "lowering.jsonl")
    parser.add_argument("--failures", type=Path, default=ROOT / "tools" / "not_lowered.jsonl")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--record-only", action="store_true", help="Run nothing; record the finished rows.")
    given = parser.parse_args()
    catalog = Catalog([given.catalog])
    names = given.architectures or [*catalog.names]
    journal = Journal(given.journal, catalog, Way(BACKEND))
    done = journal.finished(names)
    finished = {(row.architecture, row.task) for row in done}
    left = [] if given.record_only else [row for row in in_order(catalog, names) if row not in finished]
    for row in outcomes(catalog, left, given.jobs):
        journal.add(row)
        print_row(row)
        done.append(row)
    record(catalog, done)
    write_failures(given.failures, done)
    print(f"{sum(row.passed for row in done)} of {len(done)} rows are lowered and verified.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
