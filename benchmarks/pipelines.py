"""Measure exported pipelines: `python benchmarks/pipelines.py [NAME ...]`; BENCHMARKS lists the names.

The pipelines are those of the catalog with larger parts of random weights, in float32 on the CPU with one
thread: `pipeline_checkpoints.py`. All candidates of a benchmark of time run in one process, in turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import diffusers
import numpy as np
import torch
from pipeline_checkpoints import FAST, HEAVY, Enlarged, write_adapter
from side_by_side import spread

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.runtime.diffusion import classes
from neuron_catalog.runtime.diffusion.pipeline import NeuronPipeline

EXPORTS = 2
TARGET = 1.3
WARM_UPS = 3
"""TorchScript optimises a graph in its first two calls; an image takes one of text encoder and decoder."""

Pipeline = Callable[..., object]


class Seconds(NamedTuple):
    """What a call takes by the clock, and of the processor, which others' work disturbs less."""

    wall: float
    cpu: float


def pair(told: Enlarged, folder: Path) -> tuple[Pipeline, Pipeline]:
    """Return an exported pipeline, and diffusers' own of the same checkpoint."""
    use = load_catalog().pipelines[told.pipeline].uses["text-to-image"]
    source = told.write(folder / "checkpoint")
    request = PipelineRequest(
        pipeline=told.pipeline, model=str(source), out=folder / "exported", axes=told.sizes, validation=False
    )
    export_pipeline(request)
    ours = getattr(classes, use.runtime_class).from_pretrained(folder / "exported")
    eager = getattr(diffusers, use.pipeline_class).from_pretrained(source)
    for each in (ours, eager):
        each.set_progress_bar_config(disable=True)
    return ours, eager


def image(pipeline: Pipeline, told: Enlarged) -> tuple[Seconds, np.ndarray]:
    """Return the seconds that one image takes, and the image."""
    generator = torch.Generator().manual_seed(0)
    sizes = {} if isinstance(pipeline, NeuronPipeline) else axes_of_a_call(told)
    wall, used = time.perf_counter(), time.process_time()
    made = pipeline(prompt="a cat on a mat", generator=generator, output_type="np", **told.asked, **sizes)
    seconds = Seconds(time.perf_counter() - wall, time.process_time() - used)
    return seconds, made.images  # type: ignore[attr-defined]


def axes_of_a_call(told: Enlarged) -> dict[str, int]:
    """Return what diffusers is told of sizes."""
    words = {"sequence_length": "max_sequence_length"}
    return {words.get(axis, axis): size for axis, size in told.sizes.items()}


def bench_time() -> None:
    """One image with an exported pipeline and with diffusers' own."""
    for name, told in FAST.items():
        with tempfile.TemporaryDirectory() as folder, quiet_transformers():
            ours, eager = pair(told, Path(folder))
            for _ in range(WARM_UPS):
                difference = np.abs(image(ours, told)[1] - image(eager, told)[1]).max()
            assert difference <= 1 / 255, f"the images differ by {difference}"
            seen = []
            for number in range(told.runs):
                first = image(ours if number % 2 else eager, told)[0]
                second = image(eager if number % 2 else ours, told)[0]
                seen.append((first, second) if number % 2 else (second, first))
        print(f"{name}, {told.runs} pairs (min / median / max); target <= 1.05")
        for place, what in enumerate(Seconds._fields):
            report(what, [(a[place], b[place]) for a, b in seen])


def report(what: str, pairs: list[tuple[float, float]]) -> None:
    """Print seconds of both, and the ratio pair by pair and of the medians."""
    ours, eager = zip(*pairs, strict=True)
    print(f"  {what}: ours {spread(ours, 2)} s, diffusers {spread(eager, 2)} s")
    medians = statistics.median(ours) / statistics.median(eager)
    print(f"    ratio {spread([a / b for a, b in pairs])}; of the medians {medians:.3f}")


CHILD = """
import sys
from pathlib import Path
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest
from neuron_catalog.models.adapters import make_adapters
out, model, adapter, *sizes = sys.argv[1:]
axes = {axis: int(size) for axis, size in (each.split("=") for each in sizes)}
source = {"model": model, "axes": axes, "adapters": make_adapters([adapter] if adapter else None)}
export_pipeline(PipelineRequest(pipeline="stable-diffusion", out=Path(out), **source if model else {}))
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


class Peak(NamedTuple):
    """The largest resident size of a process, and what of it is its own, in bytes.

    The rest are pages of files that it has mapped, such as those of a checkpoint. Nothing is written to
    them, and the system takes them back when memory is short. What is its own is looked at every 5 ms.
    """

    resident: float
    own: float


def peaks(model: Path | str = "", adapter: Path | str = "") -> list[Peak]:
    """Return the peaks of children that export a checkpoint, or the tiny pipeline."""
    sizes = [f"{axis}={size}" for axis, size in HEAVY.sizes.items()]
    found = []
    for _ in range(EXPORTS):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", CHILD, f"{folder}/out", str(model), str(adapter), *sizes]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            own = 0
            while child.poll() is None:
                own = max(own, own_memory(child.pid))
                time.sleep(0.005)
            said, _ = child.communicate()
            assert child.returncode == 0, "the export failed"
        found.append(Peak(int(said.split()[-1]), own))
    return found


def own_memory(process: int) -> int:
    """Return how many bytes of a process are in memory and in no file; none if it has ended."""
    _, found, after = Path(f"/proc/{process}/status").read_text().partition("RssAnon:")
    return int(after.split()[0]) * 1024 if found else 0


def bench_memory() -> None:
    """Peak memory of an export: plain, with an adapter, and from files of half precision."""
    code = str(Path(__file__).parent / "pipeline_checkpoints.py")
    with tempfile.TemporaryDirectory() as folder:
        plain, half = Path(folder) / "plain", Path(folder) / "half"
        subprocess.run([sys.executable, code, str(plain)], check=True)
        subprocess.run([sys.executable, code, str(half), "fp16"], check=True)
        adapter = write_adapter(plain, Path(folder) / "adapter")
        sizes = {each.parent.name: each.stat().st_size for each in plain.glob("*/*.safetensors")}
        print("float32: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items()))
        idle = Peak(*map(statistics.median, zip(*peaks(), strict=True)))
        print(f"the tiny pipeline: {idle.resident / 1e6:.0f} MB, {idle.own / 1e6:.0f} MB its own")
        for title, given in {"plain": (plain,), "adapter": (plain, adapter), "fp16": (half,)}.items():
            print(f"{title}: (peak - baseline) / largest component; target <= {TARGET}")
            busy = peaks(*given)
            for place, what in enumerate(Peak._fields):
                ratios = [(each[place] - idle[place]) / max(sizes.values()) for each in busy]
                largest = max(each[place] for each in busy)
                print(f"  {what}: {spread(ratios, 2)}, at most {largest / 1e6:.0f} MB")


BENCHMARKS = {"time": bench_time, "memory": bench_memory}


def main() -> int:
    """Run the benchmarks named, or all, each in a process of its own."""
    names = sys.argv[1:] or list(BENCHMARKS)
    if len(names) == 1:
        torch.set_num_threads(1)
        BENCHMARKS[names[0]]()
        return 0
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for name in names:
        subprocess.run([sys.executable, __file__, name], check=True, env=environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
