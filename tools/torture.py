"""Kill exports and writes of the compile cache wherever they can be killed, and write down what was left.

Each scenario is killed at every file operation, every operation fails once, and exports are killed at random
times. After each hit what is there must be whole, and the next run must succeed and leave nothing over. It
takes less than ten minutes; the report is docs/torture.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.torture.harness import Outcome, at_points, at_random, count_points  # noqa: E402
from tests.torture.scenarios import SCENARIOS, resolved  # noqa: E402

REPORT = ROOT / "docs" / "torture.md"
SECONDS = 600
CHUNK = 12
"""Operations, or random kills, that a worker does at a time."""
RANDOM = ("keep and fetch", "export a model", "export over another model")
"""Scenarios that are killed at random times."""
RANDOM_KILLS = 760
"""With the kills at operations these are more than 1,000."""


@dataclass(frozen=True)
class Totals:
    """The outcomes of one scenario in one way."""

    scenario: str
    kind: str
    hits: int
    ends: str
    wrong: tuple[str, ...]


def jobs(until: float) -> Iterator[partial[Outcome]]:
    """Yield all work, in pieces."""
    for number, scenario in enumerate(SCENARIOS):
        count = len(count_points(scenario))
        for start in range(1, count + 1, CHUNK):
            for how in ("kill", "fail"):
                points = list(range(start, min(start + CHUNK, count + 1)))
                yield partial(_at_points, number, points, how)
    each = RANDOM_KILLS // (len(RANDOM) * CHUNK) + 1
    for seed in range(each):
        for number, scenario in enumerate(SCENARIOS):
            if scenario.name in RANDOM:
                yield partial(_at_random, number, seed, until)


def _at_points(number: int, points: list[int], how: str) -> Outcome:
    return at_points(SCENARIOS[number], points, "kill" if how == "kill" else "fail")


def _at_random(number: int, seed: int, until: float) -> Outcome:
    return at_random(SCENARIOS[number], CHUNK, seed, until)


def summed(outcomes: list[Outcome]) -> list[Totals]:
    """Return one line for each scenario and way."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    order = {scenario.name: number for number, scenario in enumerate(SCENARIOS)}
    for outcome in sorted(outcomes, key=lambda each: (each.kind, order[each.scenario])):
        found.setdefault((outcome.scenario, outcome.kind), []).append(outcome)
    lines = []
    for (scenario, kind), each in found.items():
        ends = sum((outcome.ends for outcome in each[1:]), each[0].ends.copy())
        told = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        wrong = tuple(line for outcome in each for line in outcome.wrong)
        lines.append(Totals(scenario, kind, sum(outcome.hits for outcome in each), told, wrong))
    return lines


def main() -> int:
    """Run everything, write the report; return 1 if anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=SECONDS, help="Random kills end after so long.")
    parser.add_argument("--report", type=Path, default=REPORT)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    started = time.monotonic()
    until = started + given.seconds - 60
    resolved(0), resolved(1)  # workers are forked, and read no catalog
    with ProcessPoolExecutor(given.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        running = [pool.submit(job) for job in jobs(until)]
        outcomes = []
        for future in as_completed(running):
            outcomes.append(future.result())
            print(f"{len(outcomes)} of {len(running)}: {outcomes[-1]}", flush=True)
    lines = summed(outcomes)
    template = (ROOT / "tools" / "templates" / "torture.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    report = environment.from_string(template).render(
        lines=lines,
        kills=sum(line.hits for line in lines if "killed" in line.kind),
        failures=sum(line.hits for line in lines if "failed" in line.kind),
        wrong=[text for line in lines for text in line.wrong],
        minutes=round((time.monotonic() - started) / 60, 1),
        date=time.strftime("%Y-%m-%d"),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    )
    given.report.write_text(report, encoding="utf-8")
    return any(line.wrong for line in lines)


if __name__ == "__main__":
    sys.exit(main())
