"""`new` and `explain`, as a contributor types them."""

import json

import pytest


def test_new_writes_checks_and_tells(run, tmp_path):
    code, out, _ = run("new", "squeezebert", "--out", "mine", "--yes")
    assert code == 0
    assert "[✓] squeezebert fill-mask: every check passed" in out
    assert "Wrote mine/architectures/squeezebert.yaml" in out
    assert run("--catalog", "mine", "check", "mine/architectures/squeezebert.yaml")[0] == 0


def test_new_replaces_a_file_only_if_told_so(run, tmp_path):
    folder = tmp_path / "mine" / "architectures"
    folder.mkdir(parents=True)
    (folder / "squeezebert.yaml").write_text("mine")
    code, _, err = run("new", "squeezebert", "--out", "mine", "--yes")
    assert (code, (folder / "squeezebert.yaml").read_text()) == (4, "mine")
    assert "exists already" in err
    assert "--overwrite" in err
    assert run("new", "squeezebert", "--out", "mine", "--yes", "--overwrite")[0] == 0


def test_new_reads_the_model_type_of_a_folder(run, checkpoint, tmp_path):
    code, out, _ = run("new", str(checkpoint("bert", "fill-mask")), "--out", "mine", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["file"] == "mine/architectures/bert.yaml"
    assert "fill-mask" in told["passed"]
    assert told["findings"] == []


def test_new_says_what_is_impossible(run):
    code, _, err = run("new", "clvp", "--yes")
    assert code == 4
    assert "No family fits clvp" in err


def test_explain_tells_tasks_evidence_and_the_command(run):
    code, out, _ = run("explain", "esm")
    assert code == 0
    assert out.startswith("esm is supported: ESM-2")
    assert "fill-mask: lowered (xla, neuron-catalog" in out
    assert "Export it: neuron-catalog export esm --task feature-extraction" in out


def test_explain_gives_the_command_with_sizes_for_a_folder(run, checkpoint):
    folder = checkpoint("bert", "fill-mask")
    _, out, _ = run("explain", str(folder))
    assert f"neuron-catalog export --model {folder} --task feature-extraction --batch_size 1" in out


def test_explain_says_which_command_adds_what_is_missing(run):
    code, out, _ = run("explain", "clvp")
    assert code == 0
    assert "clvp is not in the catalog" in out
    assert "neuron-catalog new clvp" in out


def test_explain_is_there_for_programs_too(run):
    told = json.loads(run("explain", "esm", "--json")[1])
    assert told["supported"] is True
    assert told["tasks"]["fill-mask"]["tier"] == "lowered"


@pytest.mark.parametrize("text", ["{}", "[", '{"model_type": 3}', None])
def test_a_folder_without_a_model_type_is_refused(run, tmp_path, text):
    (tmp_path / "model").mkdir()
    if text is not None:
        (tmp_path / "model" / "config.json").write_text(text)
    code, _, err = run("explain", "model")
    assert code == 4
    assert "no config.json that names a model_type" in err


def test_a_hub_id_that_cannot_be_reached_is_refused_in_two_lines(run):
    code, _, err = run("explain", "nobody/nothing")
    assert code == 4
    assert "nobody/nothing is no folder" in err
    assert len(err.splitlines()) == 2


def test_outdated_lists_what_only_transformers_has_and_what_only_the_catalog_has(run, tmp_path, catalog):
    folder = tmp_path / "mine" / "architectures"
    folder.mkdir(parents=True)
    text = catalog.file_of("esm").read_text()
    (folder / "esmer.yaml").write_text(text.replace("architecture: esm", "architecture: esmer"))
    without = text.replace("  fill-mask: [logits]\n", "")
    (folder / "esm.yaml").write_text(without)
    code, out, _ = run("--catalog", "mine", "outdated", "--json")
    found = {(change["kind"], change["architecture"]): change for change in json.loads(out)}
    assert code == 0
    assert found["added", "clvp"]["remedy"] == "neuron-catalog new clvp"
    assert "did you mean esm" in found["removed", "esmer"]["remedy"]
    assert "fill-mask" in found["task added", "esm"]["tasks"]


def test_outdated_prints_a_table_or_changes_of_the_yaml(run):
    _, table, _ = run("outdated")
    assert "added" in table.splitlines()[-1]
    _, text, _ = run("outdated", "--yaml")
    assert "# clvp: added\nneuron-catalog new clvp" in text
