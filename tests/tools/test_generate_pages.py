"""The page about generation says of each architecture what the catalog and its evidence say, and no more."""

import runpy
import shutil
from pathlib import Path

import pytest

from neuron_catalog.catalog.evidence import Evidence, write_evidence
from neuron_catalog.catalog.index import Catalog

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "generate_pages.py"))
NEW = {"neuron-catalog": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"}
OLD = {**NEW, "transformers": "5.3.0"}


@pytest.fixture
def page(tmp_path, catalog):
    """A function that records states of the check for a task, and returns what the page says of it."""

    def of(name, task, *states):
        own = tmp_path / "architectures" / f"{name}.yaml"
        own.parent.mkdir()
        shutil.copy(ROOT / "catalog" / "architectures" / own.name, own)
        mine = Catalog([tmp_path, *catalog.folders])
        runs = [run_of(mine.definition(name), task, each) for each in states]
        write_evidence(mine.evidence_file(name), mine.definition(name), runs)
        return TOOL["writer"](mine, name, task)

    return of


def run_of(definition, task, found):
    state, versions = found
    return Evidence(
        task=task,
        backend="torchscript",
        tier="traced",
        versions=versions,
        date="2026-11-26",
        definition=definition,
        checks={"values": "passed"} | ({"generation": state} if state else {}),
        reasons={"generation": "exported without a cache"} if state == "not_run" else {},
        largest_scaled_difference=0.0,
        seconds=1.0,
    )


def test_the_wrapper_is_that_of_the_task(catalog):
    writer = TOOL["writer"]
    assert writer(catalog, "llama", "text-generation")["wrapper"] == "static-cache"
    assert writer(catalog, "mamba", "text-generation")["wrapper"] == "shifted-cache"
    assert writer(catalog, "t5", "text2text-generation")["wrapper"] == "static-encoder-decoder-cache"
    assert writer(catalog, "rwkv", "text-generation")["wrapper"] == "without a cache"


def test_a_passed_run_is_shown(page):
    found = page("llama", "text-generation", ("passed", NEW), ("passed", OLD))
    assert (found["state"], found["shown"], found["reason"]) == ("passed", "passed", "")


def test_runs_without_the_check_prove_nothing_of_it(page):
    assert page("llama", "text-generation", (None, NEW))["state"] == "not recorded"


def test_runs_of_another_task_prove_nothing_of_this_one(page, catalog, tmp_path):
    page("llama", "feature-extraction", ("passed", NEW))
    mine = Catalog([tmp_path, *catalog.folders])
    assert TOOL["writer"](mine, "llama", "text-generation")["state"] == "not recorded"


def test_a_deviation_comes_with_the_reason_of_its_yaml(page):
    found = page("rwkv", "text-generation", ("deviates", NEW))
    assert found["shown"] == "deviates"
    assert found["reason"].startswith("With its state transformers' model writes other tokens")


def test_what_was_not_run_comes_with_the_reason_that_was_recorded(page):
    found = page("llama", "text-generation", ("not_run", NEW))
    assert (found["shown"], found["reason"]) == ("not run", "exported without a cache")


def test_the_least_of_several_runs_counts_and_all_are_shown(page):
    found = page("llama", "text-generation", ("passed", NEW), ("not_run", OLD))
    assert found["state"] == "not run"
    new, old = "transformers 5.23.0 and torch 2.13.0", "transformers 5.3.0 and torch 2.13.0"
    assert found["shown"] == f"passed with {new}, not run with {old}"


def test_every_task_whose_models_write_is_on_the_page(catalog):
    tasks = {task["name"]: task for task in TOOL["generation"](catalog)["tasks"]}
    assert set(tasks) == {name for name, task in catalog.tasks.items() if task.generates}
    for name, task in tasks.items():
        own = [each for each in catalog.architectures if name in catalog.get(each).tasks]
        assert [row["name"] for row in task["rows"]] == own
        assert task["wrappers"].total() == task["states"].total() == len(own)
