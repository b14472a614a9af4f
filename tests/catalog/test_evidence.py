"""Support is proved by recorded runs, and only of the definition as it stands."""

import json
import re
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from neuron_catalog import CatalogError
from neuron_catalog.catalog.evidence import Evidence, pipeline_digest, read_evidence, write_evidence
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.tiers import highest, lowest
from neuron_catalog.manifest import Check
from neuron_catalog.proving.record import evidence_of, record
from neuron_catalog.proving.selftest import Row

ROOT = Path(__file__).resolve().parents[2]


def pinned(package: str) -> str:
    text = (ROOT / "constraints" / "tested.txt").read_text()
    return re.search(rf"^{package}==(\S+)$", text, re.MULTILINE)[1]


def test_every_row_has_evidence_for_the_pinned_versions(catalog):
    lacking = [
        f"{name} {task}"
        for name in catalog.names
        for task in catalog.rows(name)
        if not any(
            run.task == task
            and run.versions["torch"] == pinned("torch")
            and run.versions["transformers"] == pinned("transformers")
            for run in catalog.evidence(name)
        )
    ]
    assert lacking == [], "run `make evidence`"


def test_no_recorded_run_has_a_failed_check(catalog):
    for name in catalog.names:
        compared = "image" if name in catalog.pipelines else "values"
        for run in catalog.evidence(name):
            assert set(run.checks.values()) <= {"passed", "not_run", "deviates"}
            assert run.checks[compared] == run.checks["negative_control"] == "passed"


def test_no_evidence_is_left_of_what_is_gone(catalog):
    files = {path.stem for path in (catalog.folders[-1] / "evidence").glob("*")}
    assert files == set(catalog.names)


@pytest.fixture
def overlay(tmp_path, catalog):
    """A catalog with an architecture of its own and no evidence."""
    architectures = tmp_path / "mine" / "architectures"
    architectures.mkdir(parents=True)
    (architectures / "esm.yaml").write_text(catalog.file_of("esm").read_text())
    return tmp_path / "mine"


def test_what_is_not_recorded_is_declared_only(overlay, catalog):
    mine = Catalog([overlay, *catalog.folders])
    assert set(mine.tiers("esm").values()) == {"declared"}
    assert set(catalog.tiers("esm").values()) == {"lowered"}


def test_recording_lies_beside_the_architecture_and_lifts_its_tier(overlay, run):
    assert run("--catalog", str(overlay), "selftest", "esm", "--record")[0] == 0
    assert [path.name for path in (overlay / "evidence").iterdir()] == ["esm.jsonl"]
    code, out, err = run("--catalog", str(overlay), "show", "esm", "--json")
    tasks = json.loads(out)["tasks"]
    assert {task["tier"] for task in tasks.values()} == {"traced"}
    assert tasks["fill-mask"]["evidence"][0]["backend"] == "torchscript"


def test_a_changed_definition_counts_for_nothing(overlay, catalog, run):
    run("--catalog", str(overlay), "selftest", "esm", "--record")
    path = overlay / "architectures" / "esm.yaml"
    path.write_text(path.read_text().replace("hidden_size: 32", "hidden_size: 64"))
    assert set(Catalog([overlay, *catalog.folders]).tiers("esm").values()) == {"declared"}


def test_a_changed_summary_changes_no_definition(overlay, catalog):
    path = overlay / "architectures" / "esm.yaml"
    before = catalog.definition("esm")
    path.write_text(path.read_text().replace("ESM-2 protein", "The ESM-2 protein"))
    assert Catalog([overlay, *catalog.folders]).definition("esm") == before


def test_facts_for_a_compiler_change_no_definition(overlay, catalog):
    """A run that had a compiler records what that was passed."""
    path = overlay / "architectures" / "esm.yaml"
    before = catalog.definition("esm")
    path.write_text(path.read_text() + "compiler: {enable_saturate_infinity: true}\n")
    assert Catalog([overlay, *catalog.folders]).definition("esm") == before


def test_failed_rows_are_not_recorded(overlay, run):
    path = overlay / "architectures" / "esm.yaml"
    path.write_text(path.read_text().replace("[last_hidden_state, pooler_output]", "[start_logits]"))
    assert run("--catalog", str(overlay), "selftest", "esm", "--record")[0] == 6
    runs = read_evidence(overlay / "evidence" / "esm.jsonl")
    assert sorted(run.task for run in runs) == ["fill-mask", "text-classification", "token-classification"]


def test_a_later_run_replaces_the_earlier_one_of_the_same_versions(catalog, tmp_path):
    runs = catalog.evidence("esm")
    path = tmp_path / "evidence" / "esm.jsonl"
    write_evidence(path, catalog.definition("esm"), runs)
    later = runs[0].model_copy(update={"seconds": 99.0})
    other = runs[0].model_copy(update={"versions": {**runs[0].versions, "torch": "2.9.0"}})
    write_evidence(path, catalog.definition("esm"), [later, other])
    kept = read_evidence(path)
    assert len(kept) == len(runs) + 1
    assert later in kept
    assert runs[0] not in kept


def test_why_a_check_was_not_run_is_recorded_and_an_empty_reason_is_not(catalog, tmp_path):
    own = Row(
        architecture="esm",
        task="fill-mask",
        backend="torchscript",
        checks=(
            Check(name="values", status="passed", detail="4 fresh inputs"),
            Check(name="inputs_alive", status="not_run", detail="a single possible value"),
        ),
    )
    run = evidence_of(catalog, own)
    assert run.reasons == {"inputs_alive": "a single possible value"}
    path = tmp_path / "evidence" / "esm.jsonl"
    write_evidence(path, run.definition, [run])
    assert read_evidence(path) == (run,)
    write_evidence(path, run.definition, [run.model_copy(update={"reasons": {}})])
    assert "reasons" not in path.read_text("utf-8")


def test_a_row_that_fails_now_withdraws_what_was_recorded_of_it(overlay, catalog, run):
    run("--catalog", str(overlay), "selftest", "esm", "--record")
    mine = Catalog([overlay, *catalog.folders])
    failed = Row(architecture="esm", task="fill-mask", backend="torchscript", error="It broke.")
    assert record(mine, [failed]) == 0
    assert mine.tiers("esm")["fill-mask"] == "declared"
    assert mine.tiers("esm")["token-classification"] == "traced"


def test_what_fails_with_other_versions_withdraws_nothing(overlay, catalog, run):
    run("--catalog", str(overlay), "selftest", "esm", "--record")
    path = overlay / "evidence" / "esm.jsonl"
    older = [
        each.model_copy(update={"versions": {**each.versions, "transformers": "5.0.0"}})
        for each in read_evidence(path)
    ]
    write_evidence(path, catalog.definition("esm"), older)
    mine = Catalog([overlay, *catalog.folders])
    record(mine, [Row(architecture="esm", task="fill-mask", backend="torchscript", error="It broke.")])
    left = {each.versions["transformers"] for each in read_evidence(path) if each.task == "fill-mask"}
    assert left == {"5.0.0"}


def test_a_row_that_failed_for_want_of_its_library_withdraws_nothing(overlay, catalog, monkeypatch):
    name = "sentence-transformers"
    before = catalog.evidence(name)

    def absent(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr("neuron_catalog.proving.record.metadata.version", absent)
    path = overlay / "evidence" / f"{name}.jsonl"
    write_evidence(path, catalog.definition(name), before)
    shutil.copyfile(
        ROOT / "catalog" / "architectures" / f"{name}.yaml", overlay / "architectures" / f"{name}.yaml"
    )
    mine = Catalog([overlay, *catalog.folders])
    record(
        mine, [Row(architecture=name, task="sentence-similarity", backend="torchscript", error="No library.")]
    )
    assert read_evidence(path) == before


def test_a_line_that_is_no_run_is_pointed_at(tmp_path):
    path = tmp_path / "esm.jsonl"
    path.write_text('{"task": "fill-mask"}\n')
    with pytest.raises(CatalogError, match=r"esm\.jsonl:1:1: NC400 not a recorded run"):
        read_evidence(path)


def test_an_architecture_is_proved_as_far_as_the_least_of_its_tasks():
    assert lowest(["traced", "declared", "compiled"]) == "declared"
    assert highest(["traced", "lowered"]) == "lowered"
    assert (lowest([]), highest([])) == ("declared", "declared")


def recorded(task="", **changes):
    said = {
        "task": task,
        "backend": "torchscript",
        "tier": "traced",
        "versions": {"torch": "2.13.0", "diffusers": "0.42.1"},
        "date": "2026-11-26",
        "definition": "x",
        "checks": {"values": "passed"},
        "largest_scaled_difference": 0.0,
        "seconds": 1.0,
    }
    return Evidence(**{**said, **changes})


def test_a_run_of_a_component_has_no_task(tmp_path):
    path = tmp_path / "evidence" / "unet.jsonl"
    write_evidence(path, "x", [recorded()])
    assert "task" not in json.loads(path.read_text("utf-8"))
    assert read_evidence(path) == (recorded(),)
    later = recorded(seconds=2.0)
    write_evidence(path, "x", [later])
    assert read_evidence(path) == (later,)
    write_evidence(path, "x", [], withdrawn=[later.key])
    assert not path.exists()


@pytest.fixture
def parts(tmp_path, catalog):
    """A catalog with a component and a pipeline of its own; returns it as it is when called."""
    for kind, name in (("components", "unet"), ("pipelines", "latent-consistency")):
        (tmp_path / kind).mkdir()
        shutil.copy(catalog.file_of(name), tmp_path / kind)
    return lambda: Catalog([tmp_path, *catalog.folders])


@pytest.mark.parametrize(("name", "row"), [("unet", ""), ("latent-consistency", "text-to-image")])
def test_components_and_pipelines_have_tiers(parts, name, row):
    mine = parts()
    assert mine.tiers(name) == {row: "declared"}
    path = mine.evidence_file(name)
    assert path.name == f"{name}.jsonl"
    write_evidence(path, mine.definition(name), [recorded(row, definition=mine.definition(name))])
    assert mine.tiers(name) == {row: "traced"}
    assert [run.task for run in mine.evidence(name)] == [row]


def edit(catalog, name, old, new):
    path = catalog.file_of(name)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_a_changed_component_changes_the_definition_of_its_pipelines(parts, catalog):
    edit(parts(), "unet", "layers_per_block: 2", "layers_per_block: 1")
    changed = {
        n for n in catalog.names if n in catalog.pipelines and parts().definition(n) != catalog.definition(n)
    }
    assert changed == {"latent-consistency", "stable-diffusion", "stable-diffusion-xl"}
    assert parts().definition("controlnet") == catalog.definition("controlnet")


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("Latent consistency models, images", "Images", False),
        ("checkpoint: SimianLuo/", "checkpoint: someone/", False),
        ("height: 64, width: 48}", "height: 64, width: 64}", True),
        ("time_cond_proj_dim: 16", "time_cond_proj_dim: 8", True),
        ("bind: {batch_size: batch_size", "bind: {batch_size: images", True),
    ],
)
def test_what_decides_is_part_of_the_definition_of_a_pipeline(parts, catalog, old, new, changes):
    edit(parts(), "latent-consistency", old, new)
    before = catalog.definition("latent-consistency")
    assert (parts().definition("latent-consistency") != before) is changes


def test_a_changed_alias_changes_the_definition_of_a_pipeline(catalog):
    pipeline = catalog.pipelines["flux"]
    digest = pipeline_digest(pipeline, {"a": "vae.a"}, {"t5-encoder": "1"})
    assert digest == pipeline_digest(pipeline, {"a": "vae.a"}, {"t5-encoder": "1"})
    assert digest != pipeline_digest(pipeline, {"a": "unet.a"}, {"t5-encoder": "1"})
    assert digest != pipeline_digest(pipeline, {"a": "vae.a"}, {"t5-encoder": "2"})


def test_supported_pages_are_current():
    import runpy

    assert runpy.run_path(str(ROOT / "tools" / "generate_pages.py"))["stale"]() == []
