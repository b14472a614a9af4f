"""Decide conditions."""

from __future__ import annotations

from collections.abc import Collection

from neuron_catalog.plan.dims import Dims
from neuron_catalog.schema.conditions import (
    Condition,
    ConfigAbove,
    ConfigEquals,
    ConfigIsSet,
    OptionOn,
    TaskIs,
    When,
    all_of,
)


def hold(when: When | None, task: str, options: Collection[str], dims: Dims) -> bool:
    """Tell whether all conditions of a `when` hold.

    Raises:
        RequestError: if the config lacks what one asks for.
    """
    return all(_holds(condition, task, options, dims) for condition in all_of(when))


def _holds(condition: Condition, task: str, options: Collection[str], dims: Dims) -> bool:
    if isinstance(condition, TaskIs):
        return condition.task == task
    if isinstance(condition, OptionOn):
        return condition.option in options
    value = dims.value(condition.config)
    if isinstance(condition, ConfigEquals):
        return type(value) is type(condition.equals) and bool(value == condition.equals)
    if isinstance(condition, ConfigAbove):
        return dims.size(condition.config) > condition.above
    assert isinstance(condition, ConfigIsSet)
    return (value is not None) == condition.is_set
