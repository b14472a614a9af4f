"""What `sweep plan` foretells: what is in the compile cache, and how long the rest takes."""

import json
from pathlib import Path

import pytest

from neuron_catalog.exporting.exporter import export
from neuron_catalog.storage.home import PLACE
from neuron_catalog.sweeping import outlook as module
from neuron_catalog.sweeping.outlook import COPY_SECONDS, outlook
from neuron_catalog.sweeping.planning import read_plan
from neuron_catalog.sweeping.work import request_of

ROOT = Path(__file__).parents[2]
SIZES = {"batch_size": [1, 2], "sequence_length": {"buckets": [8, 16]}}


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))


def test_jobs_in_the_cache_are_known(planned, catalog, cache, tmp_path):
    jobs = planned(axes=SIZES).jobs
    assert not outlook(jobs, catalog).cached
    export(request_of(jobs[0], tmp_path / "one"), catalog)
    assert outlook(jobs, catalog).cached == {jobs[0].name}


def test_jobs_are_looked_up_until_it_takes_too_long(planned, catalog, cache, tmp_path, monkeypatch):
    jobs = planned(axes={**SIZES, "batch_size": [1, 2, 3]}).jobs
    for number, job in enumerate(jobs):
        export(request_of(job, tmp_path / str(number)), catalog)
    monkeypatch.setattr(module, "MOST_ASKED", 2)
    found = outlook(jobs, catalog)
    assert (len(found.cached), found.not_asked) == (2, 1)


def test_times_are_those_of_the_same_model(planned, catalog, cache, tmp_path):
    """Of the recorded runs first, of the cache as soon as there is one."""
    jobs = planned(axes=SIZES).jobs
    runs = [
        run for run in catalog.evidence("esm") if run.task == "fill-mask" and run.backend == "torchscript"
    ]
    proved = sorted(run.seconds for run in runs)
    found = outlook(jobs, catalog)
    assert 2 * proved[0] <= found.seconds <= 2 * proved[-1]
    assert found.unknown == 0
    export(request_of(jobs[0], tmp_path / "one"), catalog)
    entry = json.loads(next((tmp_path / "cache" / "entries").glob("*/entry.json")).read_text())
    assert outlook(jobs, catalog).seconds == pytest.approx(entry["title"]["seconds"] + COPY_SECONDS)


def test_a_checkpoint_that_was_never_exported_is_unknown(planned, catalog, checkpoint):
    axes = {"batch_size": 1, "sequence_length": 8}
    jobs = planned(models=[str(checkpoint("bert", "fill-mask"))], axes=axes).jobs
    found = outlook(jobs, catalog)
    assert (found.seconds, found.unknown) == (0, 1)


def test_the_plan_is_printed(run, sweep):
    path = sweep(models=["esm", "berd"], axes=SIZES, exclude=[{"axes": {"batch_size": 2}}])
    code, out, err = run("sweep", "plan", str(path))
    assert code == 11
    assert (
        out.splitlines()[0] == "tiny esm  fill-mask  torchscript  -  batch_size 1, sequence_length 8 and 16"
    )
    assert out.splitlines()[1].startswith("1 job, 0 in the compile cache, 1 left out by exclude, about ")
    assert err.startswith(f"{path}:3: The catalog has no architecture 'berd'")
    code, out, _ = run("sweep", "plan", str(path), "--json")
    told = json.loads(out)
    assert [(job["axes"], job["cached"]) for job in told["jobs"]] == [
        ({"batch_size": 1, "sequence_length": [8, 16]}, False)
    ]
    assert told["problems"][0]["line"] == 3


def test_the_example_of_the_documents_is_a_sweep(catalog):
    found = read_plan(ROOT / "docs" / "sweep.yaml", catalog)
    assert [each.cause for each in found.problems] == ["There is no folder ./checkpoints/*."]
    assert (len(found.jobs), found.excluded) == (7, 1)
    text = (ROOT / "docs" / "sweep.yaml").read_text().split("\n", 1)[1]
    assert text in (ROOT / "docs" / "sweeps.md").read_text()


def test_the_sweep_of_the_readme_is_one(catalog, tmp_path):
    text = (ROOT / "README.md").read_text().partition("```yaml\n# sweep.yaml\n")[2].partition("```")[0]
    (tmp_path / "sweep.yaml").write_text(text)
    found = read_plan(tmp_path / "sweep.yaml", catalog)
    assert len(found.jobs) == 8
    assert len(text.splitlines()) == 5
    assert [each.cause for each in found.problems] == ["There is no folder ./checkpoints/*."]
