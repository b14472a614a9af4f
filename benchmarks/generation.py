"""Measure generation and print ratios: `python benchmarks/generation.py [NAME ...]`; BENCHMARKS lists them.

The model is a llama of 134 million parameters (12 layers, width 768) with random weights, in float32 on the
CPU with two threads. A prompt has 32 tokens, and 64 follow. All candidates run in one process, in turn.
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

import torch
from side_by_side import spread
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from neuron_catalog import NeuronModelForCausalLM
from neuron_catalog.models.continuation import zeros
from neuron_catalog.models.sources import quiet_transformers

PROMPT, NEW = 32, 64
CAPACITIES = (128, 1024)
RUNS = 15
THREADS = 2

CONFIG = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,  # so that all texts have the same length
}

Rate = Callable[[], float]


def checkpoint(folder: Path) -> Path:
    """Write the model with random weights."""
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**CONFIG)).save_pretrained(folder / "llama")
    return folder / "llama"


def exported(model: Path, capacity: int, prompt: int = PROMPT) -> Path:
    """Export the model for texts of so many tokens."""
    loaded = NeuronModelForCausalLM.from_pretrained(
        model, export=True, sequence_length=capacity, prompt_length=prompt
    )
    return loaded.save_pretrained(model.parent / f"exported-{capacity}-{prompt}")


def prompt(length: int = PROMPT) -> dict[str, torch.Tensor]:
    """Return one row of random ids."""
    ids = torch.randint(3, 31000, (1, length), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def rate(model: object, length: int = PROMPT) -> Rate:
    """Return a function that gives tokens per second, the first one after the prompt left out."""
    inputs = prompt(length)

    def write(count: int) -> float:
        started = time.perf_counter()
        model.generate(**inputs, do_sample=False, max_new_tokens=count)  # type: ignore[attr-defined]
        return time.perf_counter() - started

    return lambda: (NEW - 1) / (write(NEW) - write(1))


def bare_rate(model: NeuronModelForCausalLM) -> Rate:
    """Return the same of a loop over the traced function that does nothing else."""
    part = next(part for part in model.manifest.parts if part.name.startswith("decode"))
    decode = model.compiled.program.graphs[part.name]
    reach = next(tensor for tensor in part.inputs if tensor.name == "attention_mask").shape[1]

    def run() -> float:
        states, token = zeros(part), torch.ones(1, 1, dtype=torch.int64)
        mask = torch.zeros(1, reach, dtype=torch.int64)
        mask[:, :PROMPT] = 1
        started = time.perf_counter()
        for place in range(PROMPT, PROMPT + NEW - 1):
            mask[:, place] = 1
            scores, *states = decode(token, mask, *states)
            token = scores[:, -1].argmax(-1, keepdim=True)
        return (NEW - 1) / (time.perf_counter() - started)

    return run


def in_turn(rates: dict[str, Rate]) -> dict[str, list[float]]:
    """Run all of them after two warm-ups, in another order each time."""
    for each in (*rates.values(), *rates.values()):
        each()
    seen: dict[str, list[float]] = {name: [] for name in rates}
    names = list(rates)
    for number in range(RUNS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seen[name].append(rates[name]())
    return seen


def ratio(title: str, ours: list[float], base: list[float], target: str) -> None:
    """Print the spread of the ratios, run by run."""
    print(f"{title}: {spread([a / b for a, b in zip(ours, base, strict=True)])}; target {target}")


def bench_decode() -> None:
    """Decode tokens per second: ours, eager transformers, and the bare loop, at two sizes of the cache."""
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        source = checkpoint(Path(folder))
        eager = AutoModelForCausalLM.from_pretrained(source).eval()
        ours = {
            size: NeuronModelForCausalLM.from_pretrained(exported(source, size)).warm_up()
            for size in CAPACITIES
        }
        written = eager.generate(**prompt(), do_sample=False, max_new_tokens=NEW)
        for model in ours.values():
            again = model.generate(**prompt(), do_sample=False, max_new_tokens=NEW)
            assert torch.equal(written, again), "the tokens differ"
        seen = in_turn(
            {
                "eager": rate(eager),
                **{f"ours of {size}": rate(model) for size, model in ours.items()},
                **{f"bare of {size}": bare_rate(model) for size, model in ours.items()},
            }
        )
    for name, rates in seen.items():
        print(f"  {name}: {spread(rates, 1)} tokens per second")
    small, large = CAPACITIES
    for size in CAPACITIES:
        ratio(f"ours of {size} / eager", seen[f"ours of {size}"], seen["eager"], ">= 1.15")
        ratio(f"ours of {size} / bare loop", seen[f"ours of {size}"], seen[f"bare of {size}"], ">= 0.95")
    ratio(f"a step at {large} / at {small}", seen[f"ours of {small}"], seen[f"ours of {large}"], "< 1.15")


def bench_long() -> None:
    """The same at the end of a long text, where a step sees all 1024 places of the cache."""
    length = 1024 - NEW - 1
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        source = checkpoint(Path(folder))
        eager = AutoModelForCausalLM.from_pretrained(source).eval()
        ours = NeuronModelForCausalLM.from_pretrained(exported(source, 1024, 1024)).warm_up()
        seen = in_turn({"eager": rate(eager, length), "ours": rate(ours, length)})
    ratio(f"ours / eager after {length} tokens", seen["ours"], seen["eager"], "none")


PROBE = """
import sys, torch
from transformers import AutoModelForCausalLM
from neuron_catalog import NeuronModelForCausalLM
torch.set_num_threads({threads})
kind, place = sys.argv[1:]
if kind != "nothing":
    cls = NeuronModelForCausalLM if kind == "ours" else AutoModelForCausalLM
    model = cls.from_pretrained(place)
    ids = torch.arange(3, 3 + {prompt}).reshape(1, -1)
    for _ in range(3):
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                       max_new_tokens={new})
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def peak(code: str, kind: str, place: Path | str) -> float:
    """Return the largest resident size of a process in MiB.

    It is asked for itself: what the system tells of a child includes the size of its parent when it began.
    """
    done = subprocess.run([sys.executable, "-c", code, kind, place], capture_output=True, check=True)
    return float(done.stdout.split()[-1])


def bench_memory() -> None:
    """Peak memory of a process that loads and writes: ours, eager, and one that only imports."""
    code = PROBE.format(threads=THREADS, prompt=PROMPT, new=NEW)
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        source = checkpoint(Path(folder))
        weights = sum(file.stat().st_size for file in source.glob("*.safetensors")) / 2**20
        for size in CAPACITIES:
            artifact = exported(source, size)
            cache = 2 * CONFIG["num_hidden_layers"] * size * CONFIG["hidden_size"] * 4 / 2**20  # type: ignore[operator]
            peaks = {
                kind: [peak(code, kind, place) for _ in range(3)]
                for kind, place in (("ours", artifact), ("eager", source), ("nothing", "-"))
            }
            for kind, values in peaks.items():
                print(f"  {kind} at {size}: {spread(values, 0)} MiB")
            ours, eager, nothing = (statistics.median(peaks[kind]) for kind in ("ours", "eager", "nothing"))
            allowed = weights + cache + nothing
            print(f"  weights {weights:.0f} + cache {cache:.0f} + imports {nothing:.0f} = {allowed:.0f} MiB")
            print(
                f"ours at {size} / that sum: {ours / allowed:.3f}; target <= 1.15; / eager {ours / eager:.3f}"
            )
        on_disk = (artifact / "model.pt").stat().st_size / 2**20
        print(f"model.pt with its functions {on_disk:.1f} MiB / weights: {on_disk / weights:.3f}")


BENCHMARKS = {"decode": bench_decode, "long": bench_long, "memory": bench_memory}


def main() -> int:
    """Run the benchmarks named, or all, each in a process of its own."""
    names = sys.argv[1:] or list(BENCHMARKS)
    if len(names) == 1:
        torch.set_num_threads(THREADS)
        BENCHMARKS[names[0]]()
        return 0
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    for name in names:
        subprocess.run([sys.executable, __file__, name], check=True, env=environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
