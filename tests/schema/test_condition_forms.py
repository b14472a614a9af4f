"""A condition has exactly five forms; whatever else stands in its place is refused, never a crash."""

from itertools import chain, combinations

import pytest
from pydantic import TypeAdapter, ValidationError

from neuron_catalog.schema.conditions import (
    ConfigAbove,
    ConfigEquals,
    ConfigIsSet,
    OptionOn,
    TaskIs,
    When,
    all_of,
)

WHEN = TypeAdapter(When)
VALUES = {
    "task": "fill-mask",
    "config": "layers",
    "equals": "gelu",
    "above": 0,
    "is_set": True,
    "option": "output_attentions",
}
FORMS = {
    ("task",): TaskIs,
    ("config", "equals"): ConfigEquals,
    ("config", "above"): ConfigAbove,
    ("config", "is_set"): ConfigIsSet,
    ("option",): OptionOn,
}
SUBSETS = list(chain.from_iterable(combinations(VALUES, count) for count in range(len(VALUES) + 1)))


def condition(keys):
    return {key: VALUES[key] for key in keys}


def refused(value):
    with pytest.raises(ValidationError) as caught:
        WHEN.validate_python(value)
    return caught.value.errors()


@pytest.mark.parametrize(("keys", "form"), FORMS.items())
def test_a_form_is_read_as_its_own_class(keys, form):
    found = WHEN.validate_python(condition(keys))
    assert type(found) is form
    assert found.model_dump() == condition(keys)


@pytest.mark.parametrize("keys", [keys for keys in SUBSETS if keys not in FORMS], ids="+".join)
def test_any_other_set_of_keys_is_refused(keys):
    refused(condition(keys))


@pytest.mark.parametrize("keys", FORMS)
def test_an_unknown_key_beside_a_form_is_refused(keys):
    assert [error["type"] for error in refused({**condition(keys), "reason": "why"})] == ["extra_forbidden"]


@pytest.mark.parametrize(
    "value", [None, True, 0, 1.5, "", "fill-mask", {}, [], [[]], ["fill-mask"], [None], [{}]]
)
def test_what_is_no_condition_is_refused(value):
    refused(value)


@pytest.mark.parametrize("value", [True, 1.5, "3", None])
def test_above_takes_whole_numbers_only(value):
    refused({"config": "layers", "above": value})


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", [1, None], {"deep": ["x"]}])
def test_equals_takes_any_plain_value(value):
    assert WHEN.validate_python({"config": "layers", "equals": value}).equals == value


def test_a_list_keeps_its_order_as_a_tuple():
    found = WHEN.validate_python([condition(keys) for keys in FORMS])
    assert tuple(map(type, found)) == tuple(FORMS.values())
    assert all_of(found) == found


def test_one_condition_is_a_list_of_one():
    one = TaskIs(task="fill-mask")
    assert all_of(one) == (one,)
    assert all_of(None) == ()
