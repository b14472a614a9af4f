"""Run `new` over the model types of the installed transformers.

python tools/sweep.py OUT [--all] [--jobs N] [MODEL_TYPE ...]

OUT/architectures/<model_type>.yaml is what passed, OUT/reasons.jsonl says why the others did not. Without
--all the model types that the catalog has are left out; what OUT holds already is not run again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NoReturn

import torch
from transformers import CONFIG_MAPPING

from neuron_catalog.authoring.author import author
from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.errors import NeuronCatalogError

TYPES_PER_PROCESS = 15
"""After so many a process is replaced: TorchScript keeps what it compiled until the process ends."""

LONGEST = 180
"""Seconds for one model type."""


def attempt(model_type: str) -> dict[str, Any]:
    """Author one model type; never raise what concerns it alone."""
    started = time.perf_counter()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LONGEST)
    try:
        done = author(model_type, load_catalog())
        outcome: dict[str, Any] = {"text": done.draft.text(), "left_out": done.left_out}
        outcome["tasks"] = list(done.draft.tasks)
    except NeuronCatalogError as error:
        outcome = {"reason": _told(error.cause)}
    except Exception as error:  # noqa: BLE001, a sweep goes on
        outcome = {"reason": _told(f"{type(error).__name__}: {error}")}
    finally:
        signal.alarm(0)
    return {"model_type": model_type, **outcome, "seconds": round(time.perf_counter() - started, 1)}


def _told(reason: str) -> str:
    """Leave out where packages lie: a path of this machine tells nobody anything."""
    return reason.replace(f"{Path(torch.__file__).parents[1]}/", "")


def _too_long(number: int, frame: object) -> NoReturn:
    del number, frame
    raise TimeoutError(f"not done after {LONGEST} seconds")


def attempts(types: list[str], jobs: int) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each, in processes that are replaced; a crash costs one model type."""
    todo = list(types)
    while todo:
        batch, todo = todo[: jobs * TYPES_PER_PROCESS], todo[jobs * TYPES_PER_PROCESS :]
        done: set[str] = set()
        try:
            for outcome in _in_processes(batch, jobs):
                done.add(outcome["model_type"])
                yield outcome
        except BrokenExecutor:
            left = [each for each in batch if each not in done]
            if len(batch) == 1 or jobs == 1:
                yield {"model_type": left[0], "reason": "the process crashed", "seconds": 0.0}
                todo = left[1:] + todo
            else:
                for each in left:  # one by one, to find the culprit
                    yield from attempts([each], 1)


def _in_processes(batch: list[str], jobs: int) -> Iterator[dict[str, Any]]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=spawn, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        for future in as_completed([pool.submit(attempt, each) for each in batch]):
            yield future.result()


def main() -> None:
    """Sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("types", nargs="*", metavar="MODEL_TYPE")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    reasons = given.out / "reasons.jsonl"
    (given.out / "architectures").mkdir(parents=True, exist_ok=True)
    known = (
        {json.loads(line)["model_type"] for line in reasons.read_text().splitlines()}
        if reasons.is_file()
        else set()
    )
    known |= set() if given.all else set(load_catalog().architectures)
    types = given.types or [each for each in CONFIG_MAPPING if each not in known]
    passed = rows = 0
    with reasons.open("a") as log:
        for number, outcome in enumerate(attempts(types, given.jobs), start=1):
            if text := outcome.pop("text", None):
                (given.out / "architectures" / f"{outcome['model_type']}.yaml").write_text(text)
                passed, rows = passed + 1, rows + len(outcome["tasks"])
            log.write(json.dumps(outcome, ensure_ascii=False) + "\n")
            log.flush()
            said = ", ".join(outcome.get("tasks", ())) or outcome["reason"].replace("\n", " ")[:150]
            print(f"{number}/{len(types)} {outcome['model_type']} {outcome['seconds']} s: {said}", flush=True)
    print(f"{passed} of {len(types)} model types passed, with {rows} tasks.")


if __name__ == "__main__":
    main()
