"""Other weights go into a compiled graph, and are proved before they are used."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForMaskedLM

from neuron_catalog import (
    NeuronAutoModel,
    NeuronModelForMaskedLM,
    NeuronModelForSentenceTransformers,
    RequestError,
    VerificationError,
)
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.runtime import replacement

SIZES = {"batch_size": 2, "sequence_length": (8, 16)}


@pytest.fixture
def folder(checkpoint):
    return checkpoint("bert", "fill-mask")


@pytest.fixture
def model(folder):
    return NeuronModelForMaskedLM.from_pretrained(folder, export=True, **SIZES)


@pytest.fixture
def trained(folder):
    """The same model after something was learnt."""
    eager = AutoModelForMaskedLM.from_pretrained(folder).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in eager.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return eager


def answers(model):
    return [model(**make_inputs(graph.plan, 9)).logits for graph in model.manifest.graphs]


@pytest.mark.parametrize("kind", ["folder", "state dict"])
def test_every_graph_answers_with_the_new_weights(kind, model, trained, tmp_path):
    trained.save_pretrained(tmp_path / "trained")
    before, digest = answers(model), model.manifest.source.weights_sha256
    given = tmp_path / "trained" if kind == "folder" else trained.state_dict()
    assert model.replace_weights(given) is model
    for graph, old, new in zip(model.manifest.graphs, before, answers(model), strict=True):
        expected = trained(**make_inputs(graph.plan, 9)).logits
        assert (new - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert not torch.allclose(new, old, atol=1e-2)
        assert all(check.status == "passed" for check in graph.checks)
    assert model.manifest.source.weights_sha256 != digest
    assert model.manifest.source.model == (str(given) if kind == "folder" else "state dict")


def test_it_is_saved_with_the_new_weights(model, trained, tmp_path):
    saved = model.replace_weights(trained.state_dict()).save_pretrained(tmp_path / "saved")
    loaded = NeuronAutoModel.from_pretrained(saved)
    assert loaded.manifest.source == model.manifest.source
    for one, other in zip(answers(loaded), answers(model), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.pop("bert.embeddings.position_embeddings.weight"), "Missing key"),
        (lambda weights: weights.update(more=torch.ones(1)), "Unexpected key"),
        (lambda weights: weights.update({"cls.predictions.bias": torch.ones(7)}), "size mismatch"),
    ],
)
def test_weights_of_another_model_are_refused_and_nothing_changes(change, said, model, trained):
    before, weights = answers(model), trained.state_dict()
    change(weights)
    with pytest.raises(RequestError) as refused:
        model.replace_weights(weights)
    assert said in refused.value.cause
    assert torch.equal(answers(model)[0], before[0])


def test_a_folder_of_another_size_is_refused(model, checkpoint):
    with pytest.raises(RequestError, match=r"The new weights lack bert\.embeddings\.word_embeddings\.weight"):
        model.replace_weights(checkpoint("electra", "fill-mask"))


def test_the_old_weights_are_back_if_a_check_fails(model, trained, monkeypatch):
    before, manifest = answers(model), model.manifest
    right = replacement._by_graph_name

    def one_forgotten(*given):
        named = right(*given)
        del named["model.bert.embeddings.LayerNorm.weight"]
        return named

    monkeypatch.setattr(replacement, "_by_graph_name", one_forgotten)
    with pytest.raises(VerificationError, match="values: logits differs"):
        model.replace_weights(trained.state_dict())
    assert torch.equal(answers(model)[0], before[0])
    assert model.manifest == manifest


def test_a_sentence_model_takes_a_folder(checkpoint, tmp_path):
    folder = checkpoint("sentence-transformers", "sentence-similarity")
    sizes = {"batch_size": 1, "sequence_length": 8}
    model = NeuronModelForSentenceTransformers.from_pretrained(folder, export=True, **sizes)
    library = SentenceTransformer(str(folder), device="cpu")
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in library.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    library.save_pretrained(str(tmp_path / "trained"))
    before, expected = model.encode("word1 word2"), library.encode("word1 word2")
    given = model.replace_weights(tmp_path / "trained").encode("word1 word2")
    assert abs(given - expected).max() <= 1e-5
    assert abs(given - before).max() > 1e-2
    with pytest.raises(RequestError, match="cannot be made from a state dict alone"):
        model.replace_weights({})


def test_a_checkpoint_that_lacks_the_head_is_refused(folder, model, tmp_path):
    """transformers fills a head that is missing with noise, which would equal itself in every check."""
    AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "headless")
    before = answers(model)
    with pytest.raises(RequestError, match="was not trained for fill-mask: it lacks the weights cls"):
        model.replace_weights(tmp_path / "headless")
    assert torch.equal(answers(model)[0], before[0])


def test_what_may_be_filled_up_is_tried_again(model, trained, monkeypatch):
    from neuron_catalog.exporting import fits

    cut = fits.cut_back
    monkeypatch.setattr(fits, "cut_back", lambda *given: cut(*given).roll(1, -2))
    short = {n: value[:, :5] for n, value in make_inputs(model.manifest.plan, 9).items()}
    model(**short)
    model.replace_weights(trained.state_dict())
    with pytest.raises(RequestError, match="sequence_length 5; the graph was compiled for 8 or 16, no less"):
        model(**short)
