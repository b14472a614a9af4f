"""Each operator that is written out gives what torch's own operator gives, on the CPU."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from neuron_catalog.exporting.backends import decompositions, masks

aten = torch.ops.aten


def close(given, expected):
    for ours, theirs in zip(given, expected, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def both(operator, *arguments, **named):
    """Hold what is written out to the operator itself."""
    mine = decompositions.decompositions()[operator](*arguments, **named)
    own = operator(*arguments, **named)
    assert mine is not NotImplemented
    close(*([each] if isinstance(each, torch.Tensor) else each for each in (mine, own)))


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


sizes = st.integers(1, 9)


several = st.integers(2, 9)


@given(several, several, several, several, st.booleans())
def test_antialiased_resize(height, width, high, wide, align):
    """torch 2.13 itself forgets to resize the rows of an image with a single column."""
    for operator in (aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default):
        both(operator, random(2, 3, height, width), [high, wide], align)


def test_antialiased_resize_of_channels_last():
    image = random(1, 8, 8, 4).permute(0, 3, 1, 2)
    both(aten._upsample_bilinear2d_aa.default, image, [3, 5], False)


@given(sizes, st.booleans(), st.booleans(), st.booleans())
def test_triangular_solve(size, upper, left, unit):
    factor = random(2, size, size) * 0.3 + 2 * torch.eye(size)
    value = random(2, size, 3) if left else random(2, 3, size)
    both(aten.linalg_solve_triangular.default, factor, value, upper=upper, left=left, unitriangular=unit)


@given(st.booleans(), st.booleans(), sizes)
def test_bucketize_and_searchsorted(right, out_int32, size):
    boundaries = random(size).sort().values
    value = torch.cat([random(2, 5, seed=1), boundaries.repeat(2, 1)], 1)
    both(aten.bucketize.Tensor, value, boundaries, right=right, out_int32=out_int32)
    rows = random(2, size).sort(-1).values
    both(aten.searchsorted.Tensor, rows, torch.cat([value, rows], 1), right=right, out_int32=out_int32)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(1, 2), st.integers(4, 9))
def test_windows_are_put_back(kernel, stride, padding, dilation, size):
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    if span < 0:
        return
    count = (span // stride + 1) ** 2
    value = random(2, 3 * kernel**2, count)
    both(aten.col2im.default, value, [size] * 2, [kernel] * 2, [dilation] * 2, [padding] * 2, [stride] * 2)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.booleans())
def test_sums_of_bags(counts, weighted):
    total = sum(counts)
    indices = torch.arange(total) % 5
    offsets = torch.tensor([0, *counts[:-1]]).cumsum(0)
    scales = random(total, seed=2) if weighted else None
    mine = decompositions.decompositions()[aten._embedding_bag.default](
        random(5, 4), indices, offsets, False, 0, False, scales
    )
    own = functional.embedding_bag(indices, random(5, 4), offsets, mode="sum", per_sample_weights=scales)
    close([mine[0]], [own])


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2))
def test_windows_are_taken(size, step, dimension):
    value = random(6, 5, 7)
    both(aten.unfold.default, value, dimension, size, step)
    both(aten.unfold.default, value, dimension - 3, size, step)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_what_masks_select_and_take(flags):
    mask, value = torch.tensor(flags), random(len(flags))
    source = random(len(flags) + 3, seed=1)
    both(aten.masked_scatter.default, value, mask, source)
    both(aten.masked_scatter_.default, value.clone(), mask, source)
    close([masks.masked_select(value, mask, found := value[mask])], [found])
    wide = torch.stack([mask, ~mask, mask])
    close([masks.nonzero(wide, wide.nonzero())], [wide.nonzero()])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_repeated_rows(counts):
    repeats = torch.tensor(counts)
    found = torch.repeat_interleave(repeats)
    close([masks.repeat_interleave(repeats, found)], [found])


def test_masks_among_indices_become_places():
    value, mask = random(3, 4, 5), torch.tensor([[True, False, True, False]] * 3)
    given = masks.places([mask, None], [mask, None])
    assert [None if each is None else each.dtype for each in given] == [torch.int64, torch.int64, None]
    assert torch.equal(value[given[0], given[1]], value[mask])


@pytest.mark.parametrize("shape", [(), (1,), (5,), (1, 5), (6, 5), (6, 1), (1, 1)])
def test_writing_under_a_mask(shape):
    new = random(*shape, seed=3)
    value, mask = random(3, 4, 5), torch.tensor([[True, False, True, False]] * 3)
    expected = value.clone()
    expected[mask] = new
    assert torch.equal(masks.put(value, mask, new), expected)


@pytest.mark.parametrize("shape", [(), (5,), (0, 5)])
def test_writing_under_a_mask_that_is_nowhere_true(shape):
    value = random(3, 5)
    given = masks.put(value, torch.zeros(3, dtype=torch.bool), random(*shape, seed=3))
    assert torch.equal(given, value)
    none = torch.zeros(3, 5, dtype=torch.bool)
    both(aten.masked_scatter.default, value, none, torch.empty(0))


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
    st.sampled_from(["sum", "mean", "amax", "amin"]),
    st.booleans(),
    st.booleans(),
)
def test_reductions_by_place(places, reduce, include_self, first):
    """Places that nothing goes to keep what they held."""
    index = torch.tensor([places, places[::-1]])
    value, source, dim = random(2, 5), random(*index.shape, seed=1), 1
    if first:
        index, value, source, dim = index.T, value.T, source.T, 0
    both(aten.scatter_reduce.two, value, dim, index, source, reduce, include_self=include_self)


def test_membership():
    value, among = torch.tensor([[1, 2], [3, 4]]), torch.tensor([4, 1])
    both(aten.isin.Tensor_Tensor, value, among)
    both(aten.isin.Tensor_Tensor, value, among, invert=True)


def test_normed_weights():
    both(aten._weight_norm_interface.default, random(4, 3, 2), random(4, 1, 1, seed=1))


def test_means_of_windows_larger_than_the_image():
    image = random(2, 3, 4, 5)
    both(aten.avg_pool2d.default, image, [9, 9], [9, 9], [0, 0], True)
    small = decompositions.decompositions()[aten.avg_pool2d.default](image, [2, 2])
    assert small is NotImplemented


@pytest.mark.parametrize("equation", ["bij,bjk->bik", "bhqd,bhkd->bhqk", "...a,ab->...b"])
def test_einsum(equation):
    shapes = {"bij,bjk->bik": ((2, 3, 4), (2, 4, 5)), "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4))}
    operands = [random(*shape) for shape in shapes.get(equation, ((2, 3, 4), (4, 5)))]
    expected = torch.einsum(equation, *operands)
    close([decompositions.einsum(equation, *operands)], [expected])
    close([decompositions.einsum(equation, operands)], [expected])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.sampled_from([torch.int64, torch.float32]))
def test_least_so_far(numbers, dtype):
    value = torch.tensor([numbers, numbers[::-1]], dtype=dtype)
    both(aten.cummin.default, value, 1)
    both(aten.cummin.default, value.T, 0)


def test_least_so_far_of_what_is_infinite():
    both(aten.cummin.default, torch.tensor([[torch.inf, torch.inf, 1.0], [-torch.inf, 0.0, torch.inf]]), 1)


def test_integers_of_two_types_are_added_in_one():
    left, right = torch.tensor([1, 2], dtype=torch.int32), torch.tensor(3)
    both(aten.add.Tensor, left, torch.tensor([4, 5]), alpha=2)
    both(aten.mul.Tensor, left, right)
    both(aten.sub.Tensor, torch.tensor([1, 2]), left)
    plain = decompositions.decompositions()[aten.add.Tensor]
    assert plain(left, left) is plain(left, 2) is plain(left, torch.ones(2)) is NotImplemented
