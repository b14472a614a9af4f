"""Every architecture and task is served in a fresh process as the eager model answers.

Each tiny model is exported here, for any batch where it can be. Another process loads it and is asked with
full inputs, one row, an odd number of rows, and shorter inputs. What export found no way to fill up must be
refused by name.
"""

import datetime
import json
import subprocess
import sys
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.errors import RequestError, VerificationError
from neuron_catalog.exporting.comparisons import real
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.request import ExportRequest, resolve
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import resized
from neuron_catalog.models.wrappers import WRAPPERS
from neuron_catalog.models.wrappers.causal import NEXT_IDS

SEED = 77
PARTS = 20
"""Each day another twentieth of the catalog."""
ROWS_PER_PROCESS = 20
SERVE = Path(__file__).with_name("serve.py")

CATALOG = load_catalog()


def of_the_day():
    """One architecture of each family, and a part of the catalog."""
    first = {CATALOG.get(name).family: name for name in reversed(CATALOG.architectures)}
    turn = datetime.date.today().toordinal() % PARTS
    part = CATALOG.architectures[turn::PARTS]
    rows = {(name, CATALOG.supported_tasks(name)[0]) for name in first.values()}
    return sorted(rows | {(name, task) for name in part for task in CATALOG.supported_tasks(name)})


def of_all():
    return [(name, task) for name in CATALOG.architectures for task in CATALOG.supported_tasks(name)]


def chunks(rows):
    return [rows[start : start + ROWS_PER_PROCESS] for start in range(0, len(rows), ROWS_PER_PROCESS)]


def prepare(name, task, folder, seen):
    """Export a tiny model, and write what its eager model answers to inputs of several sizes."""
    request = ExportRequest(architecture=name, task=task, out=folder / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch tells of slow ways that some models take
        try:
            graph = export(replace(request, dynamic_batch_size=True), CATALOG).manifest.graphs[-1]
        except (RequestError, VerificationError) as error:  # not every model can serve any batch
            seen[f"one batch only: {error.cause.splitlines()[-1]}"] += 1
            graph = export(request, CATALOG).manifest.graphs[-1]
        model = resolve(request, CATALOG).source.load(graph.plan).module
        torch.save(list(cases(graph, model, seen)), folder / "cases.pt")


def cases(graph, model, seen):
    plan, fills = graph.plan, {fit.axis: fit.filled for fit in graph.fits}
    oracle = WRAPPERS[plan.wrapper].oracle(model, plan)
    kind = WRAPPERS[plan.wrapper].returns(model, plan, make_inputs(plan, SEED)).get("", "ModelOutput")
    for title, sizes in asked(plan, fills):
        inputs = make_inputs(resized(beginning(plan), sizes), SEED)
        case = {"title": title, "kind": kind.rpartition(".")[2], "refused": [], "expected": {}}
        unfilled = [axis for axis, size in sizes.items() if size < plan.axes[axis] and not fills.get(axis)]
        unfilled = [axis for axis in unfilled if axis not in plan.dynamic_axes]
        if unfilled:
            case["refused"] = unfilled
        else:
            with torch.no_grad():
                case["expected"] = oracle(inputs)
            places = {n: torch.arange(v.numel()).reshape(v.shape) for n, v in case["expected"].items()}
            case["real"] = {n: v.flatten() for n, v in real(places, inputs, plan).items()}
        seen["refused" if unfilled else title] += 1
        given = {**inputs, **fixed_arguments_of(plan, inputs)}
        yield case | {"inputs": {name: value for name, value in given.items() if name != NEXT_IDS}}


def beginning(plan):
    """Of a text that is continued, the prompt alone, which a call of the model takes; else the plan."""
    if "prompt_length" not in plan.axes:
        return plan
    trial = WRAPPERS[plan.wrapper].trial(plan)
    return resized(trial, {"prompt_length": plan.axes["prompt_length"], "num_steps": 0})


def fixed_arguments_of(plan, inputs):
    """What a caller passes beside the inputs: the constants, with as many rows."""
    names = {constant.name for constant in plan.constants}
    return {name: value for name, value in fixed_arguments(plan, inputs).items() if name in names}


def asked(plan, fills):
    """Titles and sizes. Only the axes of inputs count; what others are computed from stays."""
    named = {axis for tensor in plan.inputs for axis in tensor.axes}
    large = [axis for axis in fills if axis in named and plan.axes[axis] > 1]
    rows = [axis for axis in large if all(t.axes[0] == axis for t in plan.inputs if axis in t.axes)]
    held = {
        axis: max((t.placeholders + len(t.marks) + 2 for t in plan.inputs if axis in t.axes), default=1)
        for axis in large
    }
    shorter = {a: max(2 * plan.axes[a] // 3, held[a]) for a in large if a not in rows}
    yield "full", {}
    if rows:
        yield "one row", dict.fromkeys(rows, 1)
    for axis in plan.dynamic_axes:
        yield "odd batch", {axis: 2 * plan.axes[axis] + 1}
    for axis, size in shorter.items():
        if size < plan.axes[axis]:
            yield f"short {axis}", {axis: size}
    padded = {axis: size for axis, size in shorter.items() if fills[axis]}
    if padded and all(fills[axis] for axis in rows):
        yield "one short row", padded | dict.fromkeys(rows, 1)


def served(rows, tmp_path):
    """Return what is wrong with each row, and how often each kind of question was asked."""
    seen = Counter()
    folders = {}
    for name, task in rows:
        folder = folders[name, task] = tmp_path / f"{name}-{task}"
        folder.mkdir()
        prepare(name, task, folder, seen)
    done = subprocess.run([sys.executable, SERVE, *folders.values()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    return {Path(folder).name: wrong for folder, wrong in told.items() if wrong}, seen


@pytest.mark.parametrize("rows", chunks(of_the_day()), ids=lambda rows: f"{rows[0][0]}...")
def test_what_is_served_today(rows, tmp_path):
    wrong, seen = served(rows, tmp_path)
    assert wrong == {}
    assert seen["full"] == len(rows)


@pytest.mark.full
@pytest.mark.parametrize("rows", chunks(of_all()), ids=lambda rows: f"{rows[0][0]}...")
def test_everything_is_served(rows, tmp_path):
    wrong, seen = served(rows, tmp_path)
    assert wrong == {}
    assert seen["full"] == len(rows)
