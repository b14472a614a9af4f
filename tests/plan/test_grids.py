"""Constants are made from sizes, and sizes are multiples where a model holds to that."""

from types import SimpleNamespace

import pytest

from neuron_catalog import RequestError
from neuron_catalog.plan.plan import Choices, make_plan

CONFIG = SimpleNamespace(
    in_channels=3, patch_size=14, temporal_patch_size=2, spatial_merge_size=2, hidden_size=32
)


def plan(catalog, **axes):
    return make_plan(catalog, "qwen2_5_vl_vision", "feature-extraction", CONFIG, Choices(axes=axes))


def test_a_constant_is_made_from_the_axes(catalog):
    made = plan(catalog, batch_size=3, height=56, width=84)
    (grid,) = made.constants
    assert (grid.name, grid.axis, grid.value) == ("grid_thw", "batch_size", ((1, 4, 6),) * 3)
    (patches,) = made.inputs
    assert patches.shape == (3 * 4 * 6, 3 * 2 * 14 * 14)


@pytest.mark.parametrize(("height", "instead"), [(57, 56), (70, 56), (27, 28), (14, 28)])
def test_a_size_that_is_no_multiple_is_refused(catalog, height, instead):
    with pytest.raises(RequestError, match=f"height {height} is no multiple of 28") as refused:
        plan(catalog, batch_size=1, height=height, width=56)
    assert f"--height {instead}" in refused.value.remedy
