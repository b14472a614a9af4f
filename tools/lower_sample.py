"""Lower a few architectures with torch-xla and verify them on XLA's CPU device, each day some others.

    python tools/lower_sample.py            # today's sample
    python tools/lower_sample.py --day 41   # the sample of the 41st day of a year

It runs the tests that need torch-xla, and then `selftest --backend xla` on the first task of each
architecture of the sample, in the environment that `make xla-env` makes. Where that is not, it says so and
is content. What is known not to be lowered (tools/not_lowered.jsonl) is in no sample.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.cli.printing import print_row
from neuron_catalog.exporting.backends import xla
from neuron_catalog.proving.selftest import Row, Way, selftest

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / "build" / "xla-env"
NOT_LOWERED = ROOT / "tools" / "not_lowered.jsonl"
BACKEND = "xla"
COUNT = 6
"""Architectures of a sample; at 5 to 20 s each, it takes a minute."""

TESTS = (
    "tests/exporting/backends/test_decompositions.py",
    "tests/exporting/backends/test_shadows.py",
    "tests/exporting/backends/test_xla.py",
    "tests/cli/test_lowering.py",
)
"""Tests that need torch-xla, or that torch 2.9 may answer otherwise."""

Task = tuple[str, str]
"""Architecture and task."""


def first_tasks(catalog: Catalog, without: set[Task]) -> list[Task]:
    """Return the first task of each architecture, less those that are known not to be lowered."""
    first = ((name, next(iter(catalog.rows(name)))) for name in catalog.architectures)
    return [each for each in first if each not in without]


def sample(tasks: Sequence[Task], day: int, count: int = COUNT) -> list[Task]:
    """Return the tasks of a day, different ones on the next days until all had their turn.

    They are ordered by a digest of their names, so that neighbours in the alphabet are in other samples.
    """
    ordered = sorted(tasks, key=lambda task: hashlib.sha256("/".join(task).encode()).digest())
    samples = [ordered[start : start + count] for start in range(0, len(ordered), count)]
    return samples[day % len(samples)] if samples else []


def known_failures(path: Path) -> set[Task]:
    """Return what a file of tools/lower_catalog.py says cannot be lowered; nothing if it is not there."""
    if not path.exists():
        return set()
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return {(row["architecture"], row["task"]) for row in rows}


def proved(catalog: Catalog, tasks: Sequence[Task]) -> bool:
    """Lower and verify tasks, print each row, and return whether none failed."""
    others = [
        Row(architecture=name, task=task, backend=BACKEND)
        for name, _ in tasks
        for task in catalog.rows(name)
        if (name, task) not in tasks
    ]
    rows = []
    for row in selftest(catalog, [name for name, _ in tasks], Way(BACKEND), done=others):
        print_row(row)
        rows.append(row)
    failed, not_run = sum(row.failed for row in rows), sum(bool(row.not_run) for row in rows)
    print(f"{len(rows) - failed - not_run} lowered and verified, {failed} failed, {not_run} not run.")
    return not failed


def tests_failed() -> int:
    """Run the tests that need torch-xla, and return pytest's code, which is 0 if they passed."""
    return subprocess.run([sys.executable, "-m", "pytest", *TESTS], check=False, cwd=ROOT).returncode


def elsewhere(arguments: Sequence[str]) -> int:
    """Run this tool in the environment with torch-xla; where there is none, say that nothing was lowered."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        place = ENVIRONMENT.relative_to(ROOT)
        print(f"Nothing was lowered: {place}, where torch-xla would be, is not there; see `make xla-env`.")
        return 0
    if Path(sys.prefix) == ENVIRONMENT:
        print(f"Nothing was lowered: {ENVIRONMENT} has no torch-xla. Remove it, and make it again.")
        return 1
    return subprocess.run([python, __file__, *arguments], check=False).returncode


def main() -> int:
    """Run the tests and the sample of a day; return 1 if anything fails."""
    parser = argparse.ArgumentParser(description="Lower and verify a sample of the catalog with torch-xla.")
    parser.add_argument("--day", type=int, help="the day of the year, from 1; today if left out")
    parser.add_argument("--without-tests", action="store_true", help="lower the sample alone")
    given = parser.parse_args()
    if xla.unavailable():
        return elsewhere(sys.argv[1:])
    day = datetime.datetime.now(datetime.UTC).timetuple().tm_yday if given.day is None else given.day
    catalog = Catalog([ROOT / "catalog"])
    tasks = sample(first_tasks(catalog, known_failures(NOT_LOWERED)), day)
    if not given.without_tests and (failed := tests_failed()):
        return failed
    print(f"Lowering the sample of day {day}: {', '.join(name for name, _ in tasks)}", flush=True)
    return 0 if proved(catalog, tasks) else 1


if __name__ == "__main__":
    sys.exit(main())
