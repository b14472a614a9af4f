"""`NeuronModelForXXX` is used like the class of transformers that it stands for."""

import importlib
import shutil

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoModelForMultipleChoice, BertForMaskedLM

import neuron_catalog
from neuron_catalog import (
    ExportRequest,
    NeuronAutoModel,
    NeuronModel,
    NeuronModelForFeatureExtraction,
    NeuronModelForMaskedLM,
    NeuronModelForMultipleChoice,
    RequestError,
    UsageError,
    VerificationError,
    export,
)
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import resized
from neuron_catalog.runtime.answers import Answers

SIZES = {"batch_size": 3, "sequence_length": 16}


@pytest.fixture(scope="module")
def folder(checkpoint):
    return checkpoint("bert", "fill-mask")


@pytest.fixture(scope="module")
def eager(folder):
    return AutoModelForMaskedLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def model(folder):
    return NeuronModelForMaskedLM.from_pretrained(folder, export=True, **SIZES)


@pytest.fixture(scope="module")
def dynamic(folder):
    return NeuronModelForMaskedLM.from_pretrained(folder, export=True, dynamic_batch_size=True, **SIZES)


@pytest.fixture
def saved(model, tmp_path):
    return model.save_pretrained(tmp_path / "saved")


def inputs_of(model, rows, length):
    return make_inputs(resized(model.manifest.plan, {"batch_size": rows, "sequence_length": length}), seed=5)


def close(given, expected):
    assert given.shape == expected.shape
    assert (given - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("task", neuron_catalog.load_catalog().tasks)
def test_each_task_has_a_class_that_can_be_imported_by_name(task, catalog):
    entry = catalog.tasks[task]
    found = getattr(neuron_catalog, entry.runtime_class)
    assert (found.task, found.auto_class) == (task, entry.auto_class)
    assert issubclass(found, NeuronModel)
    assert entry.summary in found.__doc__


def test_runtime_classes_are_current():
    import runpy
    from pathlib import Path

    tool = Path(__file__).parents[2] / "tools" / "generate_runtime_classes.py"
    made = runpy.run_path(str(tool))
    for path, content in made["texts"]().items():
        assert path.read_text("utf-8") == content


@pytest.mark.parametrize(("rows", "length"), [(3, 16), (1, 16), (3, 5), (1, 1), (2, 15)])
def test_it_answers_what_the_eager_model_answers(model, eager, rows, length):
    inputs = inputs_of(model, rows, length)
    given, expected = model(**inputs), eager(**inputs)
    assert type(given) is type(expected)
    assert list(given) == list(expected)
    close(given.logits, expected.logits)
    assert not given.logits.requires_grad


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_any_batch_of_any_length_up_to_the_longest(dynamic, eager, rows):
    inputs = inputs_of(dynamic, rows, 9)
    close(dynamic(**inputs).logits, eager(**inputs).logits)


def test_several_threads_give_rows_in_their_order(dynamic, eager, tmp_path):
    folder = dynamic.save_pretrained(tmp_path / "saved")
    loaded = NeuronModelForMaskedLM.from_pretrained(folder, num_workers=3)
    inputs = inputs_of(dynamic, 20, 16)
    assert torch.equal(loaded(**inputs).logits, dynamic(**inputs).logits)
    close(loaded(**inputs).logits, eager(**inputs).logits)


def test_inputs_may_come_in_order_and_the_answer_as_a_tuple(model):
    inputs = inputs_of(model, 3, 16)
    (logits,) = model(*inputs.values(), return_dict=False)
    assert torch.equal(logits, model(**inputs)["logits"])
    assert torch.equal(logits, model.forward(**inputs)[0])


def test_it_is_loaded_as_it_was_saved(model, saved):
    inputs = inputs_of(model, 3, 16)
    for kind in (NeuronModelForMaskedLM, NeuronAutoModel):
        loaded = kind.from_pretrained(str(saved))
        assert isinstance(loaded, NeuronModelForMaskedLM)
        assert loaded.manifest == model.manifest
        assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
        assert (loaded.config.model_type, loaded.config.vocab_size) == ("bert", 99)


def test_pipelines_know_it_by_the_name_of_the_eager_class(model):
    assert type(model).__name__ == BertForMaskedLM.__name__
    assert repr(model) == "<NeuronModelForMaskedLM of bert for fill-mask, torchscript>"


def test_narrow_integers_and_what_says_nothing_may_be_given(model):
    inputs = inputs_of(model, 3, 16)
    narrow = {name: value.to(torch.int32) for name, value in inputs.items()}
    silent = {"labels": None, "encoder_attention_mask": torch.ones(3, 4)}
    assert torch.equal(model(**narrow, **silent).logits, model(**inputs).logits)


def test_longer_texts_are_cut_if_that_is_wanted(model, saved, eager):
    inputs = inputs_of(model, 3, 40)
    with pytest.raises(RequestError) as refused:
        model(**inputs)
    assert refused.value.cause == "input_ids has sequence_length 40; the graph was compiled for 16, no more."
    assert "truncation=True, max_length=16" in refused.value.remedy
    expected = eager(**{name: value[:, :16] for name, value in inputs.items()}).logits
    close(model(**inputs, truncate=True).logits, expected)
    close(NeuronModelForMaskedLM.from_pretrained(saved, truncate=True)(**inputs).logits, expected)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output_hidden_states": True}, "exported without output_hidden_states"),
        ({"labels": torch.ones(3, 16)}, "takes no input 'labels'"),
        ({"encoder_attention_mask": torch.zeros(3, 4)}, "takes no input 'encoder_attention_mask'"),
        ({"attention_mask": None}, "'attention_mask' is missing"),
        (
            {"attention_mask": np.ones((3, 16), dtype=np.int64)},
            "attention_mask is a ndarray, not a tensor of torch",
        ),
        ({"attention_mask": [[1] * 16] * 3}, "attention_mask is a list, not a tensor of torch"),
        ({"attention_mask": torch.ones(3, 16)}, "attention_mask is torch.float32; the graph takes int64"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(model, change, said):
    with pytest.raises(RequestError) as refused:
        model(**inputs_of(model, 3, 16) | change)
    assert said in refused.value.cause
    assert refused.value.remedy


def test_too_many_inputs_in_order_are_counted(model):
    with pytest.raises(UsageError, match="takes 3 inputs, 4 were given"):
        model(*[torch.ones(3, 16)] * 4)


def test_an_artifact_of_another_task_names_its_class(saved):
    with pytest.raises(RequestError) as refused:
        NeuronModelForFeatureExtraction.from_pretrained(saved)
    assert refused.value.cause == (
        f"{saved} was exported for fill-mask, and NeuronModelForFeatureExtraction is for feature-extraction."
    )
    assert refused.value.remedy == "Load it with NeuronModelForMaskedLM, or with NeuronAutoModel."


def test_sizes_of_an_artifact_cannot_be_chosen(saved):
    with pytest.raises(UsageError, match="batch_size, auto_cast can be chosen at export only"):
        NeuronModelForMaskedLM.from_pretrained(saved, batch_size=1, auto_cast="none")


def test_a_checkpoint_is_not_taken_for_an_artifact(folder):
    with pytest.raises(RequestError, match="is a checkpoint, not an exported model") as refused:
        NeuronModelForMaskedLM.from_pretrained(folder)
    assert "export=True" in refused.value.remedy


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"batch_size": 1}, RequestError, "bert needs sequence_length"),
        ({**SIZES, "sequence_lenght": 9}, RequestError, "did you mean sequence_length?"),
        ({**SIZES, "torch_dtype": "float16"}, UsageError, "knows no argument torch_dtype='float16'"),
        ({**SIZES, "auto_cast": "matmul"}, RequestError, "torchscript cannot do auto_cast=matmul"),
        ({**SIZES, "num_cores": 2}, RequestError, "num_cores can only be 1"),
        ({**SIZES, "task": "question-answering"}, UsageError, "is for fill-mask, not for question-answering"),
    ],
)
def test_an_export_that_cannot_be_is_refused(folder, arguments, kind, said):
    with pytest.raises(kind) as refused:
        NeuronModelForMaskedLM.from_pretrained(folder, export=True, **arguments)
    assert said in str(refused.value)


def test_compiler_arguments_that_change_nothing_are_taken(folder):
    neutral = {"auto_cast": "none", "auto_cast_type": "fp32", "num_cores": 1}
    assert NeuronModelForMaskedLM.from_pretrained(folder, export=True, **SIZES, **neutral)


def test_an_unsaved_export_is_gone_with_its_model(folder):
    model = NeuronModelForMaskedLM.from_pretrained(folder, export=True, **SIZES)
    place = model.folder
    assert place.is_dir()
    del model
    assert not place.exists()


def test_an_export_that_fails_leaves_nothing(folder, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(RequestError):
        NeuronModelForMaskedLM.from_pretrained(folder, export=True, batch_size=1, sequence_length=9999)
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_is_not_overwritten_unawares(model, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(RequestError, match="is not empty"):
        model.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path, overwrite=True)
    assert not (tmp_path / "mine.txt").exists()


def test_an_altered_artifact_is_neither_loaded_nor_saved(saved, tmp_path):
    loaded = NeuronModelForMaskedLM.from_pretrained(saved)
    with (saved / "config.json").open("a") as config:
        config.write(" ")
    with pytest.raises(VerificationError, match="was altered"):
        NeuronModelForMaskedLM.from_pretrained(saved)
    with pytest.raises(VerificationError, match="was altered"):
        loaded.save_pretrained(tmp_path / "copy")


def test_multiple_choice_counts_candidates(checkpoint):
    folder = checkpoint("bert", "multiple-choice")
    sizes = {"batch_size": 2, "num_choices": 4, "sequence_length": 12}
    model = NeuronModelForMultipleChoice.from_pretrained(folder, export=True, **sizes)
    inputs = make_inputs(resized(model.manifest.plan, {"num_choices": 3, "sequence_length": 7}), seed=1)
    close(model(**inputs).logits, AutoModelForMultipleChoice.from_pretrained(folder)(**inputs).logits)


@pytest.mark.parametrize("option", ["output_hidden_states", "output_attentions"])
def test_optional_outputs_come_as_tuples_for_what_was_given(option, folder):
    model = NeuronModelForMaskedLM.from_pretrained(folder, export=True, **SIZES, **{option: True})
    inputs = inputs_of(model, 2, 6)
    eager = AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager")
    name = option.removeprefix("output_")
    given, expected = model(**inputs, **{option: True})[name], eager(**inputs, **{option: True})[name]
    assert isinstance(given, tuple)
    assert len(given) == len(expected)
    for one, other in zip(given, expected, strict=True):
        kept = inputs["attention_mask"].bool()
        real = kept[:, None, :, None] if one.dim() == 4 else kept[..., None]
        close(one * real, other * real)


def test_a_model_with_parts_answers_in_parts(tmp_path):
    out = export(ExportRequest(architecture="clip", task="feature-extraction", out=tmp_path / "clip")).folder
    model = NeuronAutoModel.from_pretrained(out)
    answer = model(**make_inputs(model.manifest.plan, 3))
    assert type(answer).__name__ == "CLIPOutput"
    assert type(answer.text_model_output).__name__ == "BaseModelOutputWithPooling"


def test_a_class_that_a_manifest_may_not_name_is_not_imported():
    named = {"": "shutil.Error", "a": "transformers.nowhere.X", "b": "transformers.BertModel"}
    assert Answers.of(named).classes == {}


def test_it_stays_where_it_was_compiled_for(model):
    assert model.to("cpu") is model.eval() is model
    assert (model.device.type, model.dtype, model.main_input_name) == ("cpu", torch.float32, "input_ids")
    with pytest.raises(RequestError, match="cannot be moved to cuda"):
        model.to("cuda")


def test_warming_up_runs_each_graph_and_returns_the_model(folder):
    sizes = {"batch_size": 1, "sequence_length": (4, 8, 16)}
    model = NeuronModelForMaskedLM.from_pretrained(folder, export=True, **sizes)
    seen = []
    for bucket in model.compiled._buckets:
        run, length = bucket.run, bucket.plan.axes["sequence_length"]
        bucket.__dict__["run"] = lambda *x, run=run, length=length: seen.append(length) or run(*x)
    assert model.warm_up(2) is model
    assert seen == [4, 4, 8, 8, 16, 16]


@pytest.mark.parametrize("name", ["NeuronModelForNothing", "NeuronNothing"])
def test_a_name_that_does_not_exist_is_an_attribute_error(name):
    with pytest.raises(AttributeError):
        getattr(importlib.import_module("neuron_catalog"), name)


def test_the_versions_that_made_it_are_told(model):
    assert model.manifest.backend.versions["transformers"] == transformers.__version__


@pytest.mark.parametrize(
    ("architecture", "task", "side"),
    [("llama", "token-classification", "left"), ("bert", "fill-mask", "right")],
)
def test_padding_goes_where_the_tokenizer_puts_it_if_the_model_bears_it(
    architecture, task, side, checkpoint, tmp_path
):
    """Rotary positions do not mind where a text begins; learnt ones do."""
    folder = shutil.copytree(checkpoint(architecture, task), tmp_path / architecture)
    (folder / "tokenizer_config.json").write_text('{"padding_side": "left"}')
    model = NeuronAutoModel.from_pretrained(folder, export=True, task=task, **SIZES)
    fits = {fit.axis: fit.filled for fit in model.manifest.graphs[-1].fits}
    assert fits == {"batch_size": "rows", "sequence_length": side}
    eager = getattr(transformers, type(model).__name__).from_pretrained(folder).eval()
    short = inputs_of(model, 2, 7)
    ours, theirs = (each(**short).logits * short["attention_mask"][..., None] for each in (model, eager))
    close(ours, theirs)
    long = inputs_of(model, 2, 20)
    kept = {n: value[:, -16:] if side == "left" else value[:, :16] for n, value in long.items()}
    assert torch.equal(model(**long, truncate=True).logits, model(**kept).logits)
