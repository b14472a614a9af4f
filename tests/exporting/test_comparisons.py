"""Bounds: what is close enough, and what never is."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog.exporting.comparisons import Tolerance, compare, difference, too_large, unmasked
from neuron_catalog.manifest import OutputTensor

CPU = Tolerance(atol=1e-3, atol_required=False, absolute_alternative=False)
floats = st.floats(-1e6, 1e6, width=32)


def judged(given, reference, tolerance=CPU):
    return too_large(compare({"y": given}, {"y": reference}, tolerance, seed=0))


@given(st.lists(floats, min_size=1, max_size=20))
def test_equal_tensors_are_close(values):
    tensor = torch.tensor(values)
    assert not judged(tensor, tensor.clone())


@given(st.lists(floats, min_size=1, max_size=20), st.floats(2e-5, 10))
def test_relative_difference_beyond_the_bound_is_refused(values, share):
    reference = torch.tensor(values, dtype=torch.float64)
    scale = reference.abs().max()
    moved = reference.clone()
    moved[0] += share * scale if scale else 1.0
    assert judged(moved, reference)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_on_either_side(bad):
    good, wrong = torch.ones(3), torch.tensor([1.0, bad, 1.0])
    assert judged(wrong, good)
    assert judged(good, wrong)
    assert judged(wrong, wrong)


def test_zero_reference_allows_nothing():
    assert judged(torch.tensor([1e-30]), torch.zeros(1))
    assert not judged(torch.zeros(1), torch.zeros(1))


@pytest.mark.parametrize(
    ("tolerance", "allowed"),
    [
        (CPU, 1e-5),
        (Tolerance(1e-3, atol_required=False, absolute_alternative=True), 1e-3),
        (Tolerance(1e-7, atol_required=True, absolute_alternative=False), 1e-7),
        (Tolerance(1e-3, atol_required=True, absolute_alternative=False), 1e-5),
        (Tolerance(1e-3, atol_required=True, absolute_alternative=True), 1e-3),
    ],
)
def test_bounds_for_an_output_of_one(tolerance, allowed):
    assert tolerance.allowed(torch.ones(2)) == pytest.approx(allowed)


def test_large_numbers_of_low_precision_are_subtracted_exactly():
    assert difference(torch.tensor([16777216.0]), torch.tensor([16777217.0], dtype=torch.float64)) == 1.0


def output(*axes):
    return OutputTensor(name="y", axes=axes, shape=(None,) * len(axes), dtype="float32")


MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])
MASK_AXES = ("batch_size", "sequence_length")


def test_unmasked_keeps_real_tokens():
    value = torch.arange(12.0).reshape(2, 3, 2)
    kept = unmasked(value, output("batch_size", "sequence_length", "hidden_size"), MASK, MASK_AXES)
    assert kept.tolist() == [0, 1, 2, 3, 6, 7]


def test_unmasked_keeps_rows_of_real_queries_in_attention_maps():
    value = torch.arange(18.0).reshape(2, 1, 3, 3)
    axes = ("batch_size", "_", "sequence_length", "sequence_length")
    assert unmasked(value, output(*axes), MASK, MASK_AXES).tolist() == [0, 1, 2, 3, 4, 5, 9, 10, 11]


def test_unmasked_keeps_everything_of_a_pooled_output():
    value = torch.arange(4.0).reshape(2, 2)
    assert unmasked(value, output("batch_size", "hidden_size"), MASK, MASK_AXES).tolist() == [0, 1, 2, 3]


def test_unmasked_keeps_what_follows_the_tokens():
    value = torch.arange(10.0).reshape(2, 5)
    kept = unmasked(value, output("batch_size", "tokens_and_patches"), MASK, MASK_AXES)
    assert kept.tolist() == [0, 1, 3, 4, 5, 8, 9]


def test_unmasked_keeps_positions_that_stand_for_real_frames_only():
    lengths = torch.tensor([8, 5, 2])
    mask = (torch.arange(8) < lengths[:, None]).long()
    value = torch.arange(12.0).reshape(3, 4)
    kept = unmasked(value, output("batch_size", "output_frames"), mask, ("batch_size", "nb_max_frames"))
    assert kept.tolist() == [0, 1, 2, 3, 4]  # of 5 frames 2 whole pairs, the last one beside the padding


def test_codes_are_equal_or_wrong():
    codes = torch.tensor([1000, 2, 3])
    assert not judged(codes, codes.clone())
    assert judged(codes + torch.tensor([0, 0, 1]), codes)
    assert Tolerance(atol=5.0, atol_required=False, absolute_alternative=True).allowed(codes) == 0


def test_unmasked_keeps_what_stands_before_the_tokens():
    value = torch.arange(10.0).reshape(2, 5)
    kept = unmasked(value, output("batch_size", "image_then_tokens"), MASK, MASK_AXES)
    assert kept.tolist() == [0, 1, 2, 3, 5, 6, 7]
