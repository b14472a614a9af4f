"""What a sweep costs beyond its exports: `python benchmarks/sweeps.py [overhead] [plan] [status] [report]`.

- overhead: seconds of a job in a sweep of one process, or of one at a time on a Ray cluster of this machine,
  against an export in one warm process; and the throughput of two processes;
- plan: planning 10,000 jobs: time and memory;
- status: of a sweep of 10,000 jobs;
- report: of a sweep of 10,000 jobs: writing it, its sizes, and what it is like to use in Chromium.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml
from in_browser import page_times
from side_by_side import measure, spread

from neuron_catalog.schema.sweeps import Limits
from neuron_catalog.sweeping.destination import Destination, SweepRecord
from neuron_catalog.sweeping.jobs import Job, Outcome

PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("neuron-catalog"))
JOBS = 40
"""Jobs of a sweep whose overhead is measured; each takes half a second."""
MANY = 10_000
ROUNDS = 5
TASKS = ("feature-extraction", "fill-mask", "text-classification", "token-classification")

WARM = """
import json, sys, time
import torch
from neuron_catalog.sweeping.planning import read_plan
from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.exporting.exporter import export
from neuron_catalog.sweeping.work import request_of
from pathlib import Path
torch.set_num_threads(int(sys.argv[2]))
catalog = load_catalog()
jobs = read_plan(Path(sys.argv[1]), catalog).jobs
export(request_of(jobs[0], Path(sys.argv[1]).parent / "warm" / "first"), catalog)
started = time.perf_counter()
for number, job in enumerate(jobs):
    export(request_of(job, Path(sys.argv[1]).parent / "warm" / str(number)), catalog)
print(json.dumps(time.perf_counter() - started))
"""


def bench_overhead(folder: Path) -> None:
    """Time the same jobs as exports of one warm process, as sweeps of one process and of two, and on Ray."""
    os.environ["NEURON_CATALOG_CACHE"] = ""  # every job compiles
    warm, runs = [], {"one process": [], "two processes": [], "on Ray": []}
    for round_ in range(ROUNDS):
        place = folder / str(round_)
        place.mkdir()
        path = _sweep(place, {"batch_size": [*range(1, JOBS // 4 + 1)], "sequence_length": [8, 12, 16, 24]})
        told = subprocess.run(
            [PYTHON, "-c", WARM, str(path), "1"], check=True, capture_output=True, text=True
        )
        warm.append(json.loads(told.stdout) / JOBS)
        runs["one process"].append(_run(path, 1))
        runs["two processes"].append(_run(path, 2))
        runs["on Ray"].append(_run(path, 1, "--engine", "ray"))
    print(f"seconds of an export in a warm process (min / median / max of {ROUNDS}): {spread(warm)}")
    for name, of in runs.items():
        print(f"  of a job, {name}: {spread([run.each for run in of])}")
        if name != "two processes":
            beyond = [run.each / base - 1 for run, base in zip(of, warm, strict=True)]
            print(f"    beyond an export: {spread(beyond)}")
            print(f"    beyond its own seconds: {spread([run.beyond for run in of], 4)}")
    gain = [a.each / b.each for a, b in zip(runs["one process"], runs["two processes"], strict=True)]
    print(f"  throughput of two over one: {spread(gain, 2)}, target >= 1.7: {statistics.median(gain):.2f}")


def _sweep(folder: Path, axes: dict[str, list[int]]) -> Path:
    said = {
        "models": ["bert"],
        "tasks": ["fill-mask"],
        "axes": axes,
        "backends": ["torchscript"],
        "destination": "out",
        "limits": {"cpus": 1},
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


class Run(NamedTuple):
    """A sweep, from its first outcome on: what came before is the start of Python and of torch."""

    each: float
    """Seconds for a job."""
    beyond: float
    """What of them is not in the jobs' own seconds, as a share of these. Of one process only."""


def _run(path: Path, workers: int, *options: str) -> Run:
    command = [COMMAND, "sweep", "run", str(path), "--jobs", str(workers), "--json", *options]
    told, own = [], []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            told.append(time.perf_counter())
            own.append(json.loads(line)["seconds"])
    shutil.rmtree(path.parent / "out")
    seconds = told[-1] - told[workers - 1]  # all processes are warm
    return Run(seconds / (len(told) - workers), seconds / sum(own[workers:]) - 1)


def bench_plan(folder: Path) -> None:
    """Plan 10,000 jobs, none of which may be in the cache."""
    os.environ["NEURON_CATALOG_CACHE"] = ""
    path = _sweep(folder, {"batch_size": [*range(1, 101)], "sequence_length": [*range(1, 101)]})
    samples = [measure([COMMAND, "sweep", "plan", str(path)]) for _ in range(ROUNDS)]
    print(f"plan of {MANY} jobs: {spread([each.seconds for each in samples], 2)} s, target <= 5")
    print(f"  {spread([each.mebibytes for each in samples], 0)} MiB, target <= 500")


def bench_status(folder: Path) -> None:
    """Look at a sweep of 10,000 jobs that are all done."""
    place = _finished(folder)
    samples = [measure([COMMAND, "sweep", "status", str(place)]) for _ in range(ROUNDS)]
    print(f"status of {MANY} jobs: {spread([each.seconds for each in samples], 2)} s, target <= 1")


def bench_report(folder: Path) -> None:
    """Report a sweep of 10,000 jobs, and use the page."""
    place = _finished(folder)
    samples = [measure([COMMAND, "sweep", "report", str(place)]) for _ in range(ROUNDS)]
    print(f"report of {MANY} jobs: {spread([each.seconds for each in samples], 2)} s")
    for path in sorted(place.glob("report.*")):
        print(f"  {path.name}: {path.stat().st_size / 1e6:.1f} MB")
    page = folder / "report.html"
    (place / page.name).rename(page)
    for what, seconds in page_times(page, ROUNDS).items():
        print(f"  page, {what}: {spread(seconds, 2)} s, target <= 1")


def _finished(folder: Path) -> Path:
    """Write a sweep of 10,000 jobs of many kinds, of which a tenth failed; return where it is."""
    jobs = tuple(
        Job(
            name=f"model-{number % 250}.{TASKS[number // 250 % 4]}.{number}",
            architecture="bert",
            model=f"you/model-{number % 250}",
            task=TASKS[number // 250 % 4],
            axes={"batch_size": number // 1000 + 1, "sequence_length": 128},
            backend="torchscript",
        )
        for number in range(MANY)
    )
    place = folder / "out"
    Destination(str(place)).begin(SweepRecord(jobs=jobs, limits=Limits()))
    (place / "outcomes").mkdir()
    for number, job in enumerate(jobs):
        facts = {"seconds": 1 + number % 97 / 7, "megabytes": 300 + number % 211, "where": "here:1"}
        if number % 10:
            outcome = Outcome(job=job, state="done", difference=number / MANY, artifact_bytes=number, **facts)
        else:
            outcome = Outcome(job=job, state="failed", cause=f"It broke in {number % 7} ways.", **facts)
        (place / "outcomes" / f"{job.name}.json").write_text(outcome.model_dump_json())
    return place


BENCHMARKS = {"overhead": bench_overhead, "plan": bench_plan, "status": bench_status, "report": bench_report}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        with tempfile.TemporaryDirectory() as place:
            BENCHMARKS[name](Path(place))
