"""How long a sweep would take with more workers, by simulation: `python benchmarks/scaling.py [DIR]`.

Measured here, in one run: what jobs take (a sweep of 60 tiny jobs, or the one at DIR), how long a process
takes to begin, and what the driver needs for each job on Ray, with jobs that do nothing. Simulated: 10,000
such jobs, drawn with a seed, for 1 to 1,000 workers that take the next job when they are free, while the
driver starts and takes back one job at a time. Nothing of a network, a store or a busy machine is in it.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from neuron_catalog.schema.sweeps import Limits
from neuron_catalog.sweeping.destination import Destination, SweepRecord
from neuron_catalog.sweeping.engine import Order
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.sweeping.on_ray import RayEngine
from neuron_catalog.sweeping.sweeper import sweep

COMMAND = str(Path(sys.executable).with_name("neuron-catalog"))
JOBS = 10_000
WORKERS = (1, 2, 10, 30, 100, 300, 1_000)
EMPTY_JOBS = 2_000
"""Jobs that do nothing, to see what the driver needs."""


def measured_jobs(folder: Path) -> tuple[list[float], float]:
    """Run a sweep of 60 jobs in one process; return their seconds, and those until the first began."""
    os.environ["NEURON_CATALOG_CACHE"] = ""  # every job compiles
    path = folder / "sweep.yaml"
    said = {
        "models": ["bert", "esm", "vit"],
        "backends": ["torchscript", "torch-export"],
        "tasks": ["feature-extraction"],
        "axes": {"batch_size": [*range(1, 11)]},
        "destination": "out",
        "limits": {"cpus": 1},
    }
    path.write_text(yaml.safe_dump(said))
    started = time.perf_counter()
    command = [COMMAND, "sweep", "run", str(path), "--jobs", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = [json.loads(line)["seconds"] for line in done.stdout.splitlines()]
    return seconds, time.perf_counter() - started - sum(seconds)


def driver_seconds(folder: Path) -> float:
    """Return what the driver needs for a job on Ray: to hand it over, take it back, and write it down."""
    import ray

    jobs = [
        Job(name=f"{n}", architecture="bert", model=None, task="none", axes={}, backend="torchscript")
        for n in range(EMPTY_JOBS)
    ]
    record = SweepRecord(jobs=tuple(jobs), limits=Limits())
    destination = Destination(str(folder / "empty"))
    destination.begin(record)
    with RayEngine(Order(destination.place), None, None) as engine:
        engine._task = ray.remote(_nothing).options(num_cpus=1)
        for _ in sweep(destination, jobs[:50], record, engine):
            pass  # the workers of Ray are there now
        started = time.process_time()
        for _ in sweep(destination, jobs, record, engine):
            pass
        return (time.process_time() - started) / len(jobs)


def _nothing(job: Job, attempt: int, _: Order) -> Outcome:
    return Outcome(job=job, state="failed", cause="-", seconds=0, megabytes=1, attempts=attempt, where="-")


def simulated(seconds: Sequence[float], workers: int, start: float, driver: float) -> float:
    """Return the seconds that jobs take together."""
    free = [start] * workers
    clock = 0.0
    for each in seconds:
        worker = heapq.heappop(free)
        clock = max(clock + driver, worker)  # the driver does one thing at a time
        heapq.heappush(free, clock + each)
    return max(free)


def main() -> None:
    """Measure, simulate, and print a table."""
    with tempfile.TemporaryDirectory() as place:
        if sys.argv[1:]:
            outcomes = Destination(sys.argv[1]).outcomes().values()
            seconds, start = [each.seconds for each in outcomes if each.state == "done"], 5.0
        else:
            seconds, start = measured_jobs(Path(place))
        driver = driver_seconds(Path(place))
    print(f"measured: {len(seconds)} jobs of {min(seconds):.2f} to {max(seconds):.2f} s, ", end="")
    print(
        f"mean {sum(seconds) / len(seconds):.2f} s; start {start:.1f} s; driver {1000 * driver:.2f} ms a job"
    )
    drawn = random.Random(0).choices(seconds, k=JOBS)
    print(f"SIMULATED: {JOBS} such jobs, {sum(drawn) / 3600:.2f} h of work")
    print("| workers | hours | speed-up | of what is possible |\n|---|---|---|---|")
    alone = simulated(drawn, 1, start, driver)
    for workers in WORKERS:
        took = simulated(drawn, workers, start, driver)
        print(f"| {workers:,} | {took / 3600:.3f} | {alone / took:,.1f} | {alone / took / workers:.0%} |")


if __name__ == "__main__":
    main()
