"""Example inputs keep the promises that validation relies on."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_catalog.manifest import InputTensor, Plan
from neuron_catalog.models.fills import changed, make_inputs


def text_plan(batch, length, vocab, pad, types):
    axes = ("batch_size", "sequence_length")
    common = {"axes": axes, "shape": (batch, length), "dtype": "int64"}
    return Plan(
        architecture="any",
        task="any",
        auto_class="AutoModel",
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
patterns = st.sampled_from(["full", "right_padded", "mixed_lengths"])


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
