"""Exporting real folders: what is inferred, what is left out, and what is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from neuron_catalog import ExportRequest, Manifest, RequestError, export, infer_task
from neuron_catalog.models.support import require_supported

SIZES = ("--batch_size", "1", "--sequence_length", "8")


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of a masked-language-model BERT that a test may damage."""
    return shutil.copytree(checkpoint("bert", "fill-mask"), tmp_path / "model")


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_architecture_and_task_are_read_from_the_config(run, folder, tmp_path):
    assert infer_task(str(folder)) == "fill-mask"
    code, out, err = run("export", "--model", str(folder), "out", *SIZES)
    assert code == 0
    assert out.startswith("Exporting bert for fill-mask with backend torchscript")
    assert Manifest.read(tmp_path / "out").source.kind == "checkpoint"


def test_architecture_and_out_may_both_be_given(run, folder, tmp_path):
    assert run("export", "bert", "out", "--model", str(folder), *SIZES)[0] == 0
    assert (tmp_path / "out").is_dir()


def test_wrong_architecture_for_the_model_is_refused(run, folder):
    code, out, err = run("export", "esm", "out", "--model", str(folder), *SIZES)
    assert code == 4
    assert f"{folder} is a bert model, not esm." in err


def test_missing_sizes_are_asked_for_with_a_ready_command(run, folder):
    code, out, err = run("export", "--model", str(folder), "--batch_size", "3")
    assert code == 4
    assert "bert needs sequence_length for fill-mask" in err
    assert "Add for example: --batch_size 3 --sequence_length 128" in err


def test_too_long_sequence_names_the_limit(run, folder):
    code, out, err = run("plan", "--model", str(folder), "--batch_size", "1", "--sequence_length", "65")
    assert code == 4
    assert "its config gives at most 64 (max_position_embeddings)" in err


def test_limit_counts_the_positions_that_roberta_skips(run, checkpoint):
    model = str(checkpoint("roberta", "fill-mask"))
    sizes = ("--batch_size", "1", "--sequence_length")
    assert run("plan", "--model", model, *sizes, "62")[0] == 0
    code, out, err = run("plan", "--model", model, *sizes, "63")
    assert code == 4
    assert "at most 62 (positions_after_padding)" in err


def test_ambiguous_task_lists_the_choices(run, folder):
    edit_config(folder, architectures=["BertForMaskedLM", "BertForTokenClassification"])
    code, out, err = run("plan", "--model", str(folder), *SIZES)
    assert code == 4
    assert "Add --task with one of: fill-mask, token-classification." in err


def test_unsaid_task_lists_all_tasks(run, folder):
    edit_config(folder, architectures=None)
    code, out, err = run("plan", "--model", str(folder), *SIZES)
    assert code == 4
    assert "its architectures name nothing" in err
    assert "Add --task with one of: feature-extraction, fill-mask, multiple-choice" in err


def test_outputs_without_trained_weights_are_left_out_aloud(run, folder, tmp_path):
    code, out, err = run("export", "--model", str(folder), "--task", "feature-extraction", "out", *SIZES)
    assert code == 0
    assert "Left out pooler_output: the checkpoint lacks its weights (pooler.dense.bias" in out
    manifest = Manifest.read(tmp_path / "out")
    assert [tensor.name for tensor in manifest.plan.outputs] == ["last_hidden_state"]
    assert manifest.source.missing_weights == ("pooler.dense.bias", "pooler.dense.weight")
    assert run("validate", "out")[0] == 0


def test_task_without_trained_head_is_refused(run, folder, tmp_path):
    code, out, err = run("export", "--model", str(folder), "--task", "text-classification", "out", *SIZES)
    assert code == 4
    assert "was not trained for text-classification: it lacks the weights" in err
    assert not (tmp_path / "out").exists()


def test_folder_without_config(run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, err = run("export", "--model", "empty", *SIZES)
    assert code == 4
    assert "The folder empty has no config.json." in err


def test_folder_that_does_not_exist(run):
    code, out, err = run("export", "--model", "./nowhere", *SIZES)
    assert (code, "There is no folder ./nowhere." in err) == (4, True)


def test_hub_id_without_network_is_one_clear_sentence(run):
    code, out, err = run("export", "--model", "someone/something", *SIZES)
    assert code == 4
    assert err.startswith("Error: someone/something could not be read: ")
    assert "a folder on this machine needs no network" in err


def test_config_without_model_type(run, folder):
    edit_config(folder, model_type=None)
    code, out, err = run("export", "--model", str(folder), *SIZES)
    assert (code, "names no model_type" in err) == (4, True)


def test_config_that_is_no_json(run, folder):
    (folder / "config.json").write_text("{")
    code, out, err = run("export", "--model", str(folder), *SIZES)
    assert code == 4
    assert f"{folder} could not be read: " in err


def test_three_sentences_for_unsupported_model_types(catalog, folder, run, tmp_path, monkeypatch):
    edit_config(folder, model_type="rag")
    code, out, err = run("plan", "--model", str(folder), *SIZES)
    assert code == 4
    assert "The model type 'rag' is not in the catalog, although transformers" in err

    edit_config(folder, model_type="brand_new")
    code, out, err = run("plan", "--model", str(folder), *SIZES)
    assert code == 4
    assert "does not know the model type 'brand_new', nor does the catalog" in err

    edit_config(folder, model_type="bert")
    bounded = tmp_path / "overlay" / "architectures" / "bert.yaml"
    bounded.parent.mkdir(parents=True)
    text = catalog.file_of("bert").read_text()
    bounds = 'requires:\n  transformers: {version: ">=99", reason: Not written yet.}\n'
    bounded.write_text(text + bounds)
    code, out, err = run("--catalog", "overlay", "plan", "--model", str(folder), *SIZES)
    assert code == 4
    assert "bert needs transformers>=99, but" in err
    assert 'pip install "transformers>=99"' in err


def test_architecture_that_is_newer_than_transformers(catalog, monkeypatch):
    monkeypatch.delitem(
        __import__("neuron_catalog.models.support", fromlist=["_"]).CONFIG_MAPPING_NAMES, "bert"
    )
    with pytest.raises(RequestError, match="does not know the model type 'bert', although the catalog does"):
        require_supported(catalog, "bert")


def test_missing_weights_file(run, folder):
    (folder / "model.safetensors").unlink()
    code, out, err = run("export", "--model", str(folder), "out", *SIZES)
    assert (code, "has no weights (*.safetensors)" in err) == (4, True)


def test_corrupt_weights(run, folder, tmp_path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    code, out, err = run("export", "--model", str(folder), "out", *SIZES)
    assert code == 4
    assert f"The weights of {folder} are corrupt: " in err
    assert not (tmp_path / "out").exists()


def test_weights_of_another_shape(run, folder):
    edit_config(folder, hidden_size=64)
    code, out, err = run("export", "--model", str(folder), "out", *SIZES)
    assert code == 4
    assert "refuses" in err


def test_pickled_weights_need_an_explicit_word(run, folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    code, out, err = run("export", "--model", str(folder), "out", *SIZES)
    assert code == 4
    assert "has pickled weights only, and a pickle can run any code" in err
    assert run("export", "--model", str(folder), "out", *SIZES, "--allow-pickle")[0] == 0


def test_validate_needs_the_very_weights_that_were_exported(run, folder):
    run("export", "--model", str(folder), "out", *SIZES)
    state = load_file(folder / "model.safetensors")
    state["cls.predictions.bias"] += 1e-6
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    code, out, err = run("validate", "out")
    assert code == 6
    assert "has other weights than those exported" in err


def test_half_precision_checkpoints_are_exported_in_float32(run, folder, tmp_path):
    state = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    edit_config(folder, dtype="float16")
    assert run("export", "--model", str(folder), "out", *SIZES)[0] == 0
    assert {tensor.dtype for tensor in Manifest.read(tmp_path / "out").plan.outputs} == {"float32"}


def test_conditional_input_follows_the_config(run, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("deberta", "fill-mask"), tmp_path / "model")
    weights = folder / "model.safetensors"
    state = load_file(weights)
    del state["deberta.embeddings.token_type_embeddings.weight"]
    save_file(state, weights, metadata={"format": "pt"})
    edit_config(folder, type_vocab_size=0)
    assert run("export", "--model", str(folder), "out", *SIZES)[0] == 0
    inputs = [tensor.name for tensor in Manifest.read(tmp_path / "out").plan.inputs]
    assert inputs == ["input_ids", "attention_mask"]


def test_padding_falls_back_to_the_end_of_text(run, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("phi", "feature-extraction"), tmp_path / "model")
    edit_config(folder, pad_token_id=None)
    command = ("--model", str(folder), "--task", "feature-extraction", *SIZES)
    code, out, err = run("plan", *command)
    assert (code, "padded with 2" in out) == (0, True)


def test_tokenizer_files_are_copied(run, folder, tmp_path):
    for name in ("tokenizer.json", "vocab.txt", "special_tokens_map.json", "notes.txt"):
        (folder / name).write_text("{}")
    assert run("export", "--model", str(folder), "out", *SIZES)[0] == 0
    copied = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"tokenizer.json", "vocab.txt", "special_tokens_map.json"} <= copied
    assert "notes.txt" not in copied


def test_default_target_of_the_current_folder_has_a_name(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    request = ExportRequest(model=".", axes={"batch_size": 1, "sequence_length": 8})
    assert export(request).folder.name == "model-fill-mask-neuron"
