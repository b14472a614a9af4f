"""Inputs are filled up to the sizes of a graph, and its outputs cut back to those of the caller."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog.manifest import InputTensor, OutputTensor
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import cut_back, filled_up, resized

AXES = ("batch_size", "sequence_length")


@pytest.fixture(scope="module")
def plan(catalog):
    from neuron_catalog.exporting.request import ExportRequest, resolve

    return resolve(ExportRequest(architecture="bert", task="fill-mask"), catalog).plan


def ids(*shape, axes=AXES, pad=7):
    return InputTensor(name="input_ids", axes=axes, shape=shape, dtype="int64", fill="random_ids", pad=pad)


def output(*axes):
    return OutputTensor(name="logits", axes=axes, shape=tuple(None for _ in axes), dtype="float32")


def test_rows_are_copies_of_the_last_one():
    given = filled_up(ids(4, 2), torch.tensor([[1, 2], [3, 4]]), {"batch_size": "rows"})
    assert given.tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]


@pytest.mark.parametrize(("side", "expected"), [("right", [1, 2, 7, 7]), ("left", [7, 7, 1, 2])])
def test_positions_are_padded_on_the_side_that_was_tried(side, expected):
    given = filled_up(ids(1, 4), torch.tensor([[1, 2]]), {"sequence_length": side})
    assert given.tolist() == [expected]


def test_a_square_is_padded_in_both_dimensions():
    tensor = ids(1, 3, 3, axes=("batch_size", "sequence_length", "sequence_length"), pad=0)
    given = filled_up(tensor, torch.ones(1, 2, 2, dtype=torch.int64), {"sequence_length": "right"})
    assert given.tolist() == [[[1, 1, 0], [1, 1, 0], [0, 0, 0]]]


def test_an_axis_without_a_filling_is_left_alone():
    value = torch.tensor([[1, 2]])
    assert torch.equal(filled_up(ids(1, 4), value, {}), value)


@given(st.integers(1, 2), st.integers(1, 16), st.sampled_from(["left", "right"]))
def test_cutting_back_undoes_filling_up(plan, rows, length, side):
    fillings = {"batch_size": "rows", "sequence_length": side}
    sizes = {"batch_size": rows, "sequence_length": length}
    inputs = make_inputs(resized(plan, sizes), seed=length)
    for tensor in plan.inputs:
        full = filled_up(tensor, inputs[tensor.name], fillings)
        assert tuple(full.shape) == tensor.shape
        same = OutputTensor(name="same", axes=tensor.axes, shape=tensor.shape, dtype="int64")
        assert torch.equal(cut_back(same, full, sizes, plan, fillings), inputs[tensor.name])


@pytest.mark.parametrize(
    ("axis", "side", "expected"),
    [
        ("tokens_and_patches", "right", [*range(10), *range(16, 20)]),
        ("tokens_and_patches", "left", [*range(6, 20)]),
        ("image_then_tokens", "right", [*range(14)]),
        ("image_then_tokens", "left", [*range(4), *range(10, 20)]),
        ("sequence_length", "right", [*range(10)]),
        ("hidden_size", "right", [*range(20)]),
    ],
)
def test_positions_of_a_text_stand_before_or_after_others(plan, axis, side, expected):
    """16 positions of a text, of which 10 were given, beside 4 of an image."""
    size = 16 if axis == "sequence_length" else 20
    value = torch.arange(size).reshape(1, size)
    sizes = {"batch_size": 1, "sequence_length": 10}
    cut = cut_back(output("batch_size", axis), value, sizes, plan, {"sequence_length": side})
    assert cut.tolist() == [expected]
