"""Example inputs keep the promises that validation relies on."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_catalog.manifest import InputTensor, Plan
from neuron_catalog.models.fills import FILLS, changed, make_inputs


def text_plan(batch, length, vocab, pad, types):
    axes = ("batch_size", "sequence_length")
    common = {"axes": axes, "shape": (batch, length), "dtype": "int64"}
    return Plan(
        architecture="any",
        task="any",
        model_class="AutoModel",
        runtime_class="Any",
        wrapper="forward",
        forward_arguments={},
        axes={"batch_size": batch, "sequence_length": length},
        inputs=(
            InputTensor(name="input_ids", fill="random_ids", below=vocab, pad=pad, **common),
            InputTensor(
                name="attention_mask",
                fill="padded_mask",
                pad=0,
                masks=("input_ids", "token_type_ids"),
                **common,
            ),
            InputTensor(name="token_type_ids", fill="random_ids", below=types, pad=0, **common),
        ),
        outputs=(),
        atol=1e-3,
    )


plans = st.builds(
    text_plan, st.integers(1, 4), st.integers(1, 24), st.integers(3, 50), st.integers(0, 2), st.integers(1, 3)
)
patterns = st.sampled_from(["full", "one_token", "right_padded", "mixed_lengths"])


@settings(deadline=None)
@given(plans, st.integers(0, 2**31), patterns)
def test_inputs_fit_the_plan(plan, seed, pattern):
    inputs = make_inputs(plan, seed, pattern)
    assert list(inputs) == [tensor.name for tensor in plan.inputs]
    for tensor in plan.inputs:
        value = inputs[tensor.name]
        assert (tuple(value.shape), value.dtype) == (tensor.shape, torch.int64)
        assert value.min() >= 0
        assert value.max() < (tensor.below or 2)


@settings(deadline=None)
@given(plans, st.integers(0, 2**31), patterns)
def test_pad_stands_under_the_mask_and_nowhere_else(plan, seed, pattern):
    inputs = make_inputs(plan, seed, pattern)
    is_pad = inputs["input_ids"] == plan.inputs[0].pad
    assert torch.equal(is_pad, inputs["attention_mask"] == 0)
    assert (inputs["attention_mask"][:, 0] == 1).all()


@settings(deadline=None)
@given(plans, st.integers(0, 2**31))
def test_masks_follow_their_pattern(plan, seed):
    full = make_inputs(plan, seed, "full")["attention_mask"]
    right = make_inputs(plan, seed, "right_padded")["attention_mask"]
    assert full.all()
    assert (right == right[:1]).all()
    for pattern in ("right_padded", "mixed_lengths"):
        mask = make_inputs(plan, seed, pattern)["attention_mask"]
        assert (mask.diff(dim=-1) <= 0).all()
        assert mask.shape[-1] == 1 or not mask[:, -1].any()


@settings(deadline=None)
@given(plans, st.integers(0, 2**31))
def test_same_seed_same_inputs(plan, seed):
    first, second = make_inputs(plan, seed), make_inputs(plan, seed)
    assert all(torch.equal(first[name], second[name]) for name in first)


@settings(deadline=None)
@given(plans, st.integers(0, 2**31), patterns)
def test_changed_inputs_differ_wherever_they_can(plan, seed, pattern):
    inputs = make_inputs(plan, seed, pattern)
    for tensor in plan.inputs:
        before, after = inputs[tensor.name], changed(tensor, inputs[tensor.name])
        assert after.min() >= 0
        assert after.max() < (tensor.below or 2)
        if tensor.masks:
            assert (before[..., 1:] != after[..., 1:]).all()
        elif tensor.below != 1:
            assert (before != after).all()


def tensor(fill, shape, dtype="float32", **more):
    axes = ("batch_size", *["any"] * (len(shape) - 1))
    return InputTensor(name="x", axes=axes, shape=shape, dtype=dtype, fill=fill, **more)


shapes = st.tuples(st.integers(1, 3), st.integers(2, 9))


@settings(deadline=None)
@given(shapes, st.integers(0, 2**31))
def test_halves_are_true_as_often_in_each_row(shape, seed):
    value = FILLS["random_halves"](
        tensor("random_halves", shape, "bool"), torch.Generator().manual_seed(seed)
    )
    assert value.dtype == torch.bool
    assert (value.sum(-1) == shape[-1] // 2).all()
    assert (value != changed(tensor("random_halves", shape, "bool"), value)).all()


@settings(deadline=None)
@given(shapes, st.integers(0, 2**31))
def test_boxes_have_ordered_corners_on_the_page_changed_or_not(shape, seed):
    spec = tensor("boxes", (*shape, 4), "int64")
    value = FILLS["boxes"](spec, torch.Generator().manual_seed(seed))
    for box in (value, changed(spec, value)):
        assert (box[..., :2] < box[..., 2:]).all()
        assert box.min() >= 0
        assert box.max() <= 1000


def test_changed_boxes_are_elsewhere_from_each_other():
    spec = tensor("boxes", (1, 5, 4), "int64")
    value = FILLS["boxes"](spec, torch.Generator().manual_seed(0))
    before, after = (boxes[:, 1:] - boxes[:, :-1] for boxes in (value, changed(spec, value)))
    assert (before != after).any()


@settings(deadline=None)
@given(shapes, st.integers(0, 2**31))
def test_noise_is_normal_and_changes_its_sign(shape, seed):
    value = FILLS["random_normal"](tensor("random_normal", shape), torch.Generator().manual_seed(seed))
    assert value.dtype == torch.float32
    assert torch.equal(changed(tensor("random_normal", shape), value), -value)


def test_each_text_ends_with_its_id_where_its_mask_ends():
    plan = text_plan(3, 9, 50, 0, 2)
    ids = plan.inputs[0].model_copy(update={"ends_with": 49})
    plan = plan.model_copy(update={"inputs": (ids, *plan.inputs[1:])})
    inputs = make_inputs(plan, 5)
    last = inputs["attention_mask"].sum(-1, keepdim=True) - 1
    assert (inputs["input_ids"].gather(-1, last) == 49).all()


def with_sound(plan):
    frames = ("batch_size", "nb_max_frames")
    rows = plan.axes["batch_size"]
    common = {"fill": "random_normal", "dtype": "float32"}
    features = InputTensor(
        name="input_features",
        axes=("batch_size", "num_mel_bins", "nb_max_frames"),
        shape=(rows, 3, 8),
        pad=0,
        **common,
    )
    mask = InputTensor(
        name="input_features_mask",
        axes=frames,
        shape=(rows, 8),
        dtype="int64",
        fill="padded_mask",
        pad=0,
        masks=("input_features",),
    )
    return plan.model_copy(update={"inputs": (*plan.inputs, features, mask)})


@settings(deadline=None)
@given(plans, st.integers(0, 2**31), patterns)
def test_each_input_is_padded_under_its_own_mask(plan, seed, pattern):
    plan = with_sound(plan)
    inputs = make_inputs(plan, seed, pattern)
    assert [mask.name for mask in plan.masks] == ["attention_mask", "input_features_mask"]
    assert torch.equal(inputs["input_ids"] == plan.inputs[0].pad, inputs["attention_mask"] == 0)
    silent = (inputs["input_features"] == 0).all(1)
    assert torch.equal(silent, inputs["input_features_mask"] == 0)


def test_ones_stay_ones():
    spec = tensor("ones", (2, 5), "bool")
    value = FILLS["ones"](spec, torch.Generator())
    assert value.dtype == torch.bool
    assert value.all()
    assert torch.equal(changed(spec, value), value)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(2, 5))
def test_a_span_stands_after_the_first_token_and_moves_by_one(rows, times, rest):
    spec = tensor("span", (rows, times + rest), "int64", placeholders=times)
    value = FILLS["span"](spec, torch.Generator())
    assert (value[:, 1 : times + 1] == 1).all()
    assert (value.sum(-1) == times).all()
    assert torch.equal(changed(spec, value)[:, 1:], value[:, :-1])


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(2, 6))
def test_a_grid_has_each_place_once_turned_or_not(rows, side):
    spec = tensor("grid", (rows, side**2, 2), "int64")
    value = FILLS["grid"](spec, torch.Generator())
    places = sorted([column, row] for column in range(side) for row in range(side))
    for each in (*value, *changed(spec, value)):
        assert sorted(each.tolist()) == places
    assert value[0, 1].tolist() == [1, 0]


def test_halves_of_numbers_change_to_the_other_half():
    spec = tensor("random_halves", (2, 6), "int64")
    value = FILLS["random_halves"](spec, torch.Generator().manual_seed(0))
    assert (value + changed(spec, value) == 1).all()


def test_marks_stand_after_the_placeholders_and_nowhere_else():
    common = {"axes": ("batch_size", "sequence_length"), "shape": (2, 12), "dtype": "int64"}
    plan = text_plan(2, 12, 20, 0, 1)
    ids = InputTensor(
        name="input_ids",
        fill="random_ids",
        below=20,
        pad=0,
        placeholder=19,
        placeholders=3,
        marks=(18, 17),
        **common,
    )
    inputs = make_inputs(plan.model_copy(update={"inputs": (ids, *plan.inputs[1:])}), 0)
    assert inputs["input_ids"][:, 1:6].tolist() == [[19, 19, 19, 18, 17]] * 2
    for value in (inputs["input_ids"], changed(ids, inputs["input_ids"])):
        assert [(value == each).sum().item() for each in (19, 18, 17)] == [6, 2, 2]
    assert inputs["attention_mask"][:, :7].all()


def test_one_token_over_and_over_has_no_padding():
    plan = text_plan(2, 8, 50, 0, 2)
    inputs = make_inputs(plan, 3, "one_token")
    assert len(inputs["input_ids"].unique()) == 1
    assert bool(inputs["attention_mask"].all())
    assert inputs["input_ids"][0, 0] != make_inputs(plan, 4, "one_token")["input_ids"][0, 0]
