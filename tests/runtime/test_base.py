"""A loaded artifact refuses what it was not compiled for."""

import pytest
import torch

from neuron_catalog import ExportRequest, RequestError, VerificationError, export, load_artifact
from neuron_catalog.models.fills import make_inputs


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    request = ExportRequest(
        architecture="bert", task="fill-mask", out=tmp_path_factory.mktemp("a") / "static"
    )
    return load_artifact(export(request).folder)


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    request = ExportRequest(
        architecture="bert",
        task="fill-mask",
        out=tmp_path_factory.mktemp("a") / "dynamic",
        dynamic_batch_size=True,
    )
    return load_artifact(export(request).folder)


@pytest.fixture
def inputs(static):
    return make_inputs(static.manifest.plan, seed=21)


def test_outputs_come_by_name_without_gradients(static, inputs):
    logits = static(**inputs)["logits"]
    assert (logits.shape, logits.requires_grad) == ((2, 16, 99), False)


def test_order_of_keywords_does_not_matter(static, inputs):
    backwards = dict(reversed(inputs.items()))
    assert torch.equal(static(**inputs)["logits"], static(**backwards)["logits"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda i: {**i, "labels": i["input_ids"]}, "takes no input 'labels'"),
        (lambda i: {k: v for k, v in i.items() if k != "attention_mask"}, "'attention_mask' is missing"),
        (lambda i: {**i, "input_ids": i["input_ids"].float()}, "input_ids is torch.float32"),
        (
            lambda i: {**i, "input_ids": i["input_ids"][:, :8]},
            "input_ids has sequence_length 8, attention_mask has 16",
        ),
        (
            lambda i: {k: v.repeat(1, 2) for k, v in i.items()},
            "sequence_length 32; the graph was compiled for 16",
        ),
        (lambda i: {k: v.repeat(2, 1) for k, v in i.items()}, "batch_size 4; the graph was compiled for 2"),
        (lambda i: {k: v[0] for k, v in i.items()}, "input_ids has shape (16,)"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(static, inputs, change, said):
    with pytest.raises(RequestError) as refused:
        static(**change(inputs))
    assert said in str(refused.value)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_dynamic_batches_of_any_size(dynamic, static, inputs, rows):
    picked = [i % 2 for i in range(rows)]
    given = dynamic(**{name: value[picked] for name, value in inputs.items()})["logits"]
    torch.testing.assert_close(given, static(**inputs)["logits"][picked], rtol=0, atol=1e-6)


def test_dynamic_batch_still_has_a_longest_text(dynamic, inputs):
    with pytest.raises(RequestError, match="sequence_length 32; the graph was compiled for 16, no more"):
        dynamic(**{name: value.repeat(1, 2) for name, value in inputs.items()})


def test_inputs_must_have_as_many_rows(dynamic, inputs):
    with pytest.raises(RequestError, match="input_ids has batch_size 1, attention_mask has 2"):
        dynamic(**{**inputs, "input_ids": inputs["input_ids"][:1]})


def test_no_rows_is_refused(dynamic, inputs):
    with pytest.raises(RequestError, match="has shape"):
        dynamic(**{name: value[:0] for name, value in inputs.items()})


def test_altered_graph_is_not_loaded(tmp_path):
    folder = export(ExportRequest(architecture="esm", task="fill-mask", out=tmp_path / "out")).folder
    with (folder / "model.pt").open("ab") as graph:
        graph.write(b"more")
    with pytest.raises(VerificationError, match=r"model\.pt has \d+ bytes, not \d+"):
        load_artifact(folder)


@pytest.mark.parametrize(
    ("architecture", "task", "name"),
    [
        ("vit", "image-classification", "pixel_values"),
        ("wav2vec2", "automatic-speech-recognition", "input_values"),
    ],
)
def test_an_image_or_a_waveform_of_another_size_is_never_padded(architecture, task, name, tmp_path):
    request = ExportRequest(architecture=architecture, task=task, out=tmp_path / "out")
    model = load_artifact(export(request).folder)
    whole = make_inputs(model.manifest.plan, seed=3)[name]
    size = whole.shape[-1]
    with pytest.raises(RequestError) as refused:
        model(**{name: whole[..., :-1]})
    assert (
        f"{size - 1}; the graph was compiled for {size}, no less: {name} has no pad value"
        in refused.value.cause
    )
    assert refused.value.remedy.startswith("Such an input is never padded or cut")
