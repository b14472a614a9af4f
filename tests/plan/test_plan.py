"""Plans: conditions decided, names turned into numbers, impossible requests refused."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog import RequestError
from neuron_catalog.plan.dims import Dims
from neuron_catalog.plan.plan import Choices, make_plan

CONFIG = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "num_labels": 5,
    "pad_token_id": 0,
    "eos_token_id": None,
}
SIZES = {"batch_size": 2, "sequence_length": 16}


def plan(catalog, name, task, *, axes=SIZES, config=None, **choices):
    values = SimpleNamespace(**{**CONFIG, **(config or {})})
    return make_plan(catalog, name, task, values, Choices(axes=axes, **choices))


def test_plan_holds_numbers_only(catalog):
    made = plan(catalog, "bert", "token-classification")
    assert [(t.name, t.shape, t.dtype) for t in made.inputs] == [
        ("input_ids", (2, 16), "int64"),
        ("attention_mask", (2, 16), "int64"),
        ("token_type_ids", (2, 16), "int64"),
    ]
    assert [(t.name, t.shape, t.dtype) for t in made.outputs] == [("logits", (2, 16, 5), "float32")]
    assert made.inputs[0].below == 99
    assert made.masks == (made.inputs[1],)


def test_facts_for_a_compiler_are_the_family_s_and_one_s_own(catalog):
    assert plan(catalog, "bert", "fill-mask").compiler == {"model_type": "transformer"}
    assert catalog.families["image-encoder"].compiler == {}
    assert catalog.get("vit").compiler == {"model_type": "transformer"}


@given(batch=st.integers(1, 64), length=st.integers(1, 64), choices=st.integers(1, 9))
def test_every_axis_reaches_its_dimension(catalog, batch, length, choices):
    axes = {"batch_size": batch, "sequence_length": length, "num_choices": choices}
    made = plan(catalog, "bert", "multiple-choice", axes=axes)
    assert {t.shape for t in made.inputs} == {(batch, choices, length)}
    assert made.outputs[0].shape == (batch, choices)
    assert made.axes == axes


@pytest.mark.parametrize("name", ["deberta", "deberta-v2"])
@pytest.mark.parametrize(("types", "present"), [(0, False), (2, True)])
def test_condition_on_the_config_selects_an_input(catalog, name, types, present):
    config = {"type_vocab_size": types}
    names = [t.name for t in plan(catalog, name, "fill-mask", config=config).inputs]
    assert ("token_type_ids" in names) is present


def test_masked_inputs_are_those_selected(catalog):
    assert plan(catalog, "bert", "fill-mask").masks[0].masks == ("input_ids", "token_type_ids")
    assert plan(catalog, "esm", "fill-mask").masks[0].masks == ("input_ids",)


@pytest.mark.parametrize("size", [0, -1, True, 2.0, "2"])
def test_size_must_be_a_positive_whole_number(catalog, size):
    with pytest.raises(RequestError, match="batch_size must be a positive whole number"):
        plan(catalog, "bert", "fill-mask", axes={**SIZES, "batch_size": size})


def test_axis_of_another_task_is_refused(catalog):
    with pytest.raises(RequestError, match="bert has no axis 'num_choices' for fill-mask"):
        plan(catalog, "bert", "fill-mask", axes={**SIZES, "num_choices": 2})


def test_all_missing_axes_are_named_with_a_ready_command(catalog):
    with pytest.raises(RequestError) as refused:
        plan(catalog, "bert", "multiple-choice", axes={"batch_size": 3})
    assert refused.value.cause.startswith("bert needs sequence_length and num_choices")
    assert "--batch_size 3 --sequence_length 128 --num_choices 4" in refused.value.remedy


def test_synonym_of_a_task(catalog):
    assert plan(catalog, "bert", "sequence-classification").task == "text-classification"


def test_task_the_architecture_lacks(catalog):
    with pytest.raises(RequestError, match="esm has no task 'question-answering'; it supports: "):
        plan(catalog, "esm", "question-answering")


def test_config_without_the_attribute_names_the_path(catalog):
    values = {key: value for key, value in CONFIG.items() if key != "vocab_size"}
    with pytest.raises(RequestError, match="config has no 'vocab_size', which is needed for vocab_size"):
        make_plan(catalog, "bert", "fill-mask", SimpleNamespace(**values), Choices(axes=SIZES))


def test_config_value_that_is_no_integer_names_the_path(catalog):
    with pytest.raises(RequestError, match="'vocab_size' is '99' in the model's config"):
        plan(catalog, "bert", "fill-mask", config={"vocab_size": "99"})


def test_pad_value_is_the_first_one_set(catalog):
    assert plan(catalog, "bert", "fill-mask", config={"pad_token_id": 0}).inputs[0].pad == 0
    fallback = {"pad_token_id": None, "eos_token_id": 7}
    assert plan(catalog, "bert", "fill-mask", config=fallback).inputs[0].pad == 7
    with pytest.raises(RequestError, match="leaves 'pad_token_id' and 'eos_token_id' null"):
        plan(catalog, "bert", "fill-mask", config={"pad_token_id": None})


def test_of_several_ids_that_end_a_text_the_first_one_pads(catalog):
    config = {"pad_token_id": None, "eos_token_id": [5, 6]}
    assert plan(catalog, "bert", "fill-mask", config=config).inputs[0].pad == 5


def test_deviations_hold_for_their_tasks_only(catalog):
    assert plan(catalog, "phi", "text-classification").waivers[0].check == "masked_tokens_dead"
    assert plan(catalog, "phi", "token-classification").waivers == ()


def test_tolerance_comes_from_caller_then_architecture_then_family(catalog):
    assert plan(catalog, "bert", "fill-mask").atol == 1e-3
    made = plan(catalog, "bert", "fill-mask", atol=1e-6)
    assert (made.atol, made.atol_from_caller) == (1e-6, True)


def test_nested_and_dict_configs_are_walked():
    config = SimpleNamespace(text_config={"inner": SimpleNamespace(width=8)})
    assert Dims({}, {"hidden_size": "text_config.inner.width"}, config).size("hidden_size") == 8


def test_derived_dims():
    dims = Dims({}, {}, SimpleNamespace(num_hidden_layers=3, max_position_embeddings=514, pad_token_id=1))
    assert dims.size("num_hidden_states") == 4
    assert dims.size("positions_after_padding") == 512


def test_booleans_are_no_sizes():
    with pytest.raises(RequestError, match="an integer is needed"):
        Dims({}, {}, SimpleNamespace(vocab_size=True)).size("vocab_size")


VIT = {"num_channels": 3, "image_size": 32, "patch_size": 8, "hidden_size": 16, "num_labels": 5}


def image_plan(catalog, name, task, axes, **config):
    values = SimpleNamespace(**{**VIT, **config})
    return make_plan(catalog, name, task, values, Choices(axes={"batch_size": 2, **axes}))


@pytest.mark.parametrize(
    ("image_size", "shape"), [(32, (2, 3, 32, 32)), ([16, 24], (2, 3, 16, 24)), ((8, 40), (2, 3, 8, 40))]
)
def test_size_of_the_image_is_read_from_the_config(catalog, image_size, shape):
    made = image_plan(catalog, "vit", "image-classification", {}, image_size=image_size)
    assert made.inputs[0].shape == shape


def test_image_of_another_size_than_the_model_was_built_for_is_refused(catalog):
    with pytest.raises(RequestError, match="height 64 does not fit this vit model: its config says 32"):
        image_plan(catalog, "vit", "image-classification", {"height": 64})


def test_image_size_may_be_chosen_where_the_model_allows_it(catalog):
    made = image_plan(catalog, "convnext", "image-classification", {"height": 64, "width": 96})
    assert made.inputs[0].shape == (2, 3, 64, 96)


def test_fixed_axis_may_be_repeated_but_not_changed(catalog):
    assert image_plan(catalog, "vit", "image-classification", {"num_channels": 3})
    with pytest.raises(RequestError, match="num_channels 1 does not fit this vit model: its config says 3"):
        image_plan(catalog, "vit", "image-classification", {"num_channels": 1})


def test_image_size_must_be_given_where_the_config_names_none(catalog):
    with pytest.raises(RequestError, match="resnet needs height and width for image-classification"):
        image_plan(catalog, "resnet", "image-classification", {})


def test_input_of_one_task_is_planned_for_that_task_only(catalog):
    masked = image_plan(catalog, "vit", "masked-im", {})
    assert [(t.name, t.shape) for t in masked.inputs] == [
        ("pixel_values", (2, 3, 32, 32)),
        ("bool_masked_pos", (2, 16)),
    ]
    assert len(image_plan(catalog, "vit", "feature-extraction", {}).inputs) == 1


def test_texts_and_images_are_counted_apart(catalog):
    config = SimpleNamespace(
        text_config=SimpleNamespace(vocab_size=9, pad_token_id=1, eos_token_id=2, max_position_embeddings=8),
        vision_config=SimpleNamespace(num_channels=3, image_size=16, patch_size=4),
        projection_dim=6,
    )
    axes = {"text_batch_size": 5, "image_batch_size": 2, "sequence_length": 8}
    made = make_plan(catalog, "clip", "zero-shot-image-classification", config, Choices(axes=axes))
    assert [t.shape for t in made.outputs[:2]] == [(2, 5), (5, 2)]
    choices = Choices(axes=axes, dynamic_batch_size=True)
    with pytest.raises(RequestError, match="--dynamic_batch_size needs inputs that all begin with one"):
        make_plan(catalog, "clip", "zero-shot-image-classification", config, choices)


def test_open_outputs_fit_any_further_dimensions(catalog):
    output = image_plan(catalog, "convnext", "feature-extraction", {}).outputs[0]
    assert output.is_open
    assert output.fits((2, 7))
    assert output.fits((2, 7, 3, 3))
    assert not output.fits((3, 7))
    assert not output.fits(())


def test_option_of_pipelines_is_refused(catalog):
    with pytest.raises(RequestError, match=r"--controlnet is not offered by bert for fill-mask\."):
        plan(catalog, "bert", "fill-mask", options=frozenset({"controlnet"}))
