"""The derived dims that the format knows are those that can be computed, from the same parts."""

import inspect

import pytest

from neuron_catalog.plan.formulas import FORMULAS
from neuron_catalog.schema.words import DERIVED_DIMS


def test_each_derived_dim_has_a_formula_and_the_reverse():
    assert set(FORMULAS) == set(DERIVED_DIMS)


@pytest.mark.parametrize("name", DERIVED_DIMS)
def test_a_formula_takes_the_declared_parts(name):
    assert tuple(inspect.signature(FORMULAS[name]).parameters) == DERIVED_DIMS[name]


@pytest.mark.parametrize("name", DERIVED_DIMS)
def test_the_parts_are_keys_of_a_normalized_config_or_axes(catalog, name):
    axes = [said.axes for said in (*catalog.families.values(), *catalog.pipelines.values())]
    known = set().union(*catalog.normalized_configs.values(), *axes)
    assert set(DERIVED_DIMS[name]) <= known
