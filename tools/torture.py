"""Kill exports wherever they can be killed, fuzz what reads untrusted files, and write down what was seen.

Each scenario is killed at every file operation, every operation fails once, and exports are killed at random
times. After each hit what is there must be whole, and the next run must succeed and leave nothing over.
Readers get more than a million mutated files. It takes less than ten minutes; the report is docs/torture.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import jinja2
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.torture.fuzzing import READERS, Fuzzed, artifacts_in, fuzz, seeds_for, watch_files  # noqa: E402
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
INPUTS = {"entry of the cache": 250_000, "manifest": 120_000, "YAML: architecture": 60_000}
"""Reader → how many inputs it gets. Others get these many:"""
OTHER_INPUTS, OTHER_YAML = 90_000, 10_000
PIECE = 10_000
"""Inputs that a worker gives at a time."""
GUIDED = 260_000
"""Inputs that coverage guides."""
MEMORY = Path("/dev/shm")
"""Where the files of fuzzed readers lie, if there is such a place: no disk is the slower for it."""


@dataclass(frozen=True)
class Totals:
    """The outcomes of one scenario in one way."""

    scenario: str
    kind: str
    hits: int
    ends: str
    wrong: tuple[str, ...]


def jobs(until: float) -> Iterator[partial[Outcome | Fuzzed]]:
    """Yield all work, in pieces."""
    yield partial(_guided)
    artifacts = artifacts_in(Path(tempfile.mkdtemp(dir=_memory())))
    for name in READERS:
        count = INPUTS.get(name, OTHER_YAML if name.startswith("YAML") else OTHER_INPUTS)
        for seed in range(-(-count // PIECE)):
            yield partial(_fuzzed, name, seeds_for(name, artifacts), seed)
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


def _memory() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None


def _at_points(number: int, points: list[int], how: str) -> Outcome:
    return at_points(SCENARIOS[number], points, "kill" if how == "kill" else "fail")


def _at_random(number: int, seed: int, until: float) -> Outcome:
    return at_random(SCENARIOS[number], CHUNK, seed, until)


def _fuzzed(name: str, seeds: list[bytes], seed: int) -> Fuzzed:
    """Fuzz in a process of its own: that of a worker is watched by what came before."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(_fuzzed_here, (name, seeds, seed))


def _fuzzed_here(name: str, seeds: list[bytes], seed: int) -> Fuzzed:
    folder = Path(tempfile.mkdtemp(dir=_memory()))
    written: list[str] = []
    watch_files(folder, written)
    outcome = fuzz(name, seeds, PIECE, seed, folder)
    outcome.wrong += written
    if outcome.slowest > 1:
        outcome.wrong.append(f"an input took {outcome.slowest:.2f} s")
    for path in folder.iterdir():
        path.unlink()
    return outcome


def _guided() -> Fuzzed:
    """Fuzz the YAML reader guided by coverage, if atheris is installed."""
    outcome = Fuzzed("YAML: architecture, guided by coverage")
    if find_spec("atheris") is None:
        return outcome
    corpus = Path(tempfile.mkdtemp(dir=_memory()))
    for number, seed in enumerate(seeds_for("YAML: architecture", {})):
        (corpus / str(number)).write_bytes(seed)
    limits = [
        f"-runs={GUIDED}",
        "-max_len=2000",
        "-timeout=2",
        "-malloc_limit_mb=200",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "tests.torture.guided", str(corpus), *limits, "-print_final_stats=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    slowest = re.search(r"slowest_unit_time_sec:\s*(\d+)", done.stderr)
    outcome.inputs = int(found[1]) if found else 0
    outcome.slowest = float(slowest[1]) if slowest else 0.0
    if done.returncode or outcome.inputs < GUIDED:
        outcome.wrong.append(done.stderr[-2000:])
    shutil.rmtree(corpus)
    return outcome


def fuzzed_totals(outcomes: list[Fuzzed]) -> list[Fuzzed]:
    """Return one line for each reader."""
    found: dict[str, Fuzzed] = {}
    for each in outcomes:
        line = found.setdefault(each.reader, Fuzzed(each.reader))
        line.inputs, line.taken = line.inputs + each.inputs, line.taken + each.taken
        line.slowest, line.megabytes = max(line.slowest, each.slowest), max(line.megabytes, each.megabytes)
        line.wrong += each.wrong
    return list(found.values())


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
    torch.set_num_threads(1)  # children are forked, and a pool of threads would not come with them
    started = time.monotonic()
    until = started + given.seconds - 60
    resolved(0), resolved(1)  # workers are forked, and read no catalog
    work = list(jobs(until))  # before the pool, which has threads of its own
    with ProcessPoolExecutor(given.jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        running = [pool.submit(job) for job in work]
        outcomes = []
        for future in as_completed(running):
            outcomes.append(future.result())
            print(f"{len(outcomes)} of {len(running)} after {time.monotonic() - started:.0f} s", flush=True)
    lines = summed([each for each in outcomes if isinstance(each, Outcome)])
    fuzzed = fuzzed_totals([each for each in outcomes if isinstance(each, Fuzzed)])
    template = (ROOT / "tools" / "templates" / "torture.md.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(trim_blocks=True, keep_trailing_newline=True, autoescape=False)
    report = environment.from_string(template).render(
        lines=lines,
        kills=sum(line.hits for line in lines if "killed" in line.kind),
        failures=sum(line.hits for line in lines if "failed" in line.kind),
        wrong=[text for line in lines for text in line.wrong],
        fuzzed=fuzzed,
        inputs=sum(line.inputs for line in fuzzed),
        refused=[text for line in fuzzed for text in line.wrong],
        minutes=round((time.monotonic() - started) / 60, 1),
        date=time.strftime("%Y-%m-%d"),
        system=f"{platform.system()}, Python {platform.python_version()}",
    )
    given.report.write_text(report, encoding="utf-8")
    return any(line.wrong for line in [*lines, *fuzzed])


if __name__ == "__main__":
    sys.exit(main())
