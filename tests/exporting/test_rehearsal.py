"""The eager model is gone before its graph is read, and what it answered before is compared all the same."""

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from neuron_catalog import ExportRequest, RequestError, VerificationError, export, validate_artifact
from neuron_catalog.exporting import backends, exporter
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.build import build, live_subjects
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.fits import questions as questions_of_fits
from neuron_catalog.exporting.questions import questions
from neuron_catalog.exporting.recollection import Recollection, UnaskedError
from neuron_catalog.exporting.rehearsal import rehearse
from neuron_catalog.exporting.request import resolve
from neuron_catalog.models.tiny import TinySource

ROWS = {
    "encoder": ("bert", "fill-mask", {}),
    "several sizes": ("bert", "fill-mask", {"axes": {"sequence_length": [8, 16]}}),
    "a single row": ("bert", "text-classification", {"axes": {"batch_size": 1}}),
    "any batch": ("bert", "fill-mask", {"dynamic_batch_size": True}),
    "decoder with a cache": ("llama", "text-generation", {}),
    "recurrent decoder": ("mamba", "text-generation", {}),
    "encoder and decoder with a cache": ("t5", "text2text-generation", {}),
    "images and texts": ("clip", "zero-shot-image-classification", {}),
    "a model that changes when it is given a short text": ("big_bird", "fill-mask", {}),
    "a pipeline": ("sentence-transformers", "feature-extraction", {}),
}


def exported(row, tmp_path):
    architecture, task, more = ROWS[row]
    return export(ExportRequest(architecture=architecture, task=task, out=tmp_path / "out", **more))


@pytest.fixture
def watched(monkeypatch):
    """A list that tells, for each time a graph is read, which eager models are still there."""
    loaded, seen = [], []

    def load_model(source, plan):
        eager = original(source, plan)
        loaded.append(weakref.ref(eager.module))
        return eager

    def load(path, names):
        seen.append([model() for model in loaded])
        return torchscript.load(path, names)

    original = TinySource.load
    monkeypatch.setattr(exporter, "WORTH_COLLECTING", 0)
    monkeypatch.setattr(TinySource, "load", load_model)
    backend = SimpleNamespace(**{**vars(torchscript), "load": load})
    monkeypatch.setitem(backends.BACKENDS, "torchscript", backend)
    return seen


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("row", ["encoder", "decoder with a cache", "encoder and decoder with a cache"])
def test_the_eager_model_is_gone_before_the_graph_is_read(row, validation, watched, tmp_path):
    architecture, task, more = ROWS[row]
    export(ExportRequest(architecture=architecture, task=task, out=tmp_path / "out", validation=validation))
    assert watched == [[None]]


@pytest.mark.parametrize("row", ROWS)
def test_answers_that_were_kept_are_those_of_a_model_at_hand(row, tmp_path):
    graphs = exported(row, tmp_path).manifest.graphs
    assert validate_artifact(tmp_path / "out") == graphs


def test_an_answer_is_kept_to_the_bit(tmp_path):
    given = {
        "numbers": torch.tensor([[1.5, float("nan")], [float("inf"), -0.0]]),
        "codes": torch.arange(6).reshape(2, 3).T,
        "flags": torch.tensor([True, False]),
        "none": torch.empty(0, 4),
        "one": torch.tensor(3.0),
        "one of many": torch.arange(4.0)[::2][:1],
    }
    inputs = {"input_ids": torch.tensor([[1, 2]])}
    with (tmp_path / "answers").open("w+b") as file:
        first, second = Recollection(file), Recollection(file)
        first.hear({"x": torch.zeros(3)}, lambda: {"other": torch.ones(5)})
        second.hear(inputs, lambda: given)
        again = second.oracle(inputs)
        by_position = second.graph(*inputs.values())
        with pytest.raises(UnaskedError):
            first.oracle(inputs)
        with pytest.raises(UnaskedError):
            second.oracle({"input_ids": torch.tensor([[1.0, 2.0]])})
    assert list(again) == list(given)
    for each, value, other in zip(again.values(), given.values(), by_position, strict=True):
        assert each.dtype == value.dtype
        assert torch.equal(each.nan_to_num(7), value.nan_to_num(7))
        assert torch.equal(other.nan_to_num(7), value.nan_to_num(7))


def test_a_refusal_is_kept_and_keeps_nothing_alive(tmp_path):
    def refuse():
        held = torch.nn.Linear(1, 1)
        seen.append(weakref.ref(held))
        raise RequestError("It takes no fewer tokens.", "Give more.") from ValueError(held)

    seen = []
    inputs = {"input_ids": torch.zeros(1)}
    with (tmp_path / "answers").open("w+b") as file:
        kept = Recollection(file)
        kept.hear(inputs, refuse)
        gc.collect()
        assert seen[0]() is None
        for _ in range(2):
            with pytest.raises(RequestError, match=r"It takes no fewer tokens\.\nGive more\."):
                kept.oracle(inputs)


def test_each_question_is_asked_once(catalog, tmp_path):
    resolved = resolve(ExportRequest(architecture="bert", task="fill-mask"), catalog)
    built = build(resolved, tmp_path, silent)
    (subject,) = live_subjects(built, resolved).values()
    asked = []

    def oracle(inputs):
        asked.append(inputs)
        return subject.oracle(inputs)

    listening = replace(subject, oracle=oracle)
    with (tmp_path / "answers").open("w+b") as file:
        (heard,) = rehearse({"forward": listening}, file).values()
        expected = [subject.traced_inputs] * 2 + [*questions(subject), *questions_of_fits(subject)]
        assert len(asked) == len(expected)
        for inputs in expected:
            assert torch.equal(heard.eager(inputs)["logits"], subject.eager(inputs)["logits"])
        assert len(asked) == len(expected)
        with pytest.raises(VerificationError, match="the compiled graph failed to run"):
            heard.compiled(subject.traced_inputs)
