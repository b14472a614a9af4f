"""What an architecture or component selects from its family, as far as that can be told without a config."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from neuron_catalog.schema.components import Pipeline, Selection
from neuron_catalog.schema.conditions import OptionOn, When, all_of
from neuron_catalog.schema.documents import Family
from neuron_catalog.schema.tensors import Axis, ConditionalInput, Constant
from neuron_catalog.schema.words import CACHE_AXES, DERIVED_DIMS, SERIES, ComponentWrapperName, WrapperName


def axes_in_use(
    architecture: Selection, family: Family, aliases: Mapping[str, str], task: str | None = None
) -> set[str]:
    """Return the axes that matter in `task`, or in any task.

    These are the axes in the shapes of the selected inputs and in the selected constants, those of a cache,
    and the fixed ones that the config knows.
    """
    tasks = list(architecture.tasks) if task is None else [task]
    fixed = (name for name, axis in family.axes.items() if axis.fixed)
    found = {name for name in fixed if has_default(name, family.axes, aliases, task)}
    for each in tasks:
        for name in selected_inputs(architecture, family, each):
            tensor = family.inputs[name]
            dims = (
                *tensor.shape_for.get(each, tensor.shape),
                *([tensor.holds.times] if tensor.holds else []),
                *([tensor.times] if tensor.times else []),
                *(SERIES[tensor.for_each][0] if tensor.for_each else ()),
            )
            found |= _axes_of(dims, family)
        found |= set(CACHE_AXES.get(wrapper_of(architecture, family, each), ())) & set(family.axes)
        for name in selected_constants(architecture, family, each):
            found |= _axes_of(dims_of_constant(family.constants[name]), family)
    return {
        name
        for name in found
        if not family.axes[name].only_for or set(family.axes[name].only_for) & set(tasks)
    }


def wrapper_of(architecture: Selection, family: Family, task: str) -> WrapperName | ComponentWrapperName:
    """Return the wrapper of a task: the architecture's word counts, then the family's."""
    return architecture.wrappers.get(task) or family.wrappers.get(task) or architecture.wrapper


def selected_constants(architecture: Selection, family: Family, task: str) -> tuple[str, ...]:
    """Return the constants that an architecture selects for a task, as far as the family defines them."""
    only_for = {n: family.constants[n].only_for for n in architecture.constants if n in family.constants}
    return tuple(name for name, tasks in only_for.items() if not tasks or task in tasks)


def dims_of_constant(constant: Constant) -> tuple[str, ...]:
    """Return the names of the sizes that a constant is made of."""
    each = constant.each if isinstance(constant.each, tuple) else (constant.each,)
    return (*(size for size in each if isinstance(size, str)), constant.times)


def _axes_of(dims: Collection[str], family: Family) -> set[str]:
    """Return the axes among dims, and those that the others are computed from."""
    own = {part for dim in dims if dim not in family.axes for part in DERIVED_DIMS.get(dim, ())}
    return ({*dims} | own) & set(family.axes)


def selected_inputs(architecture: Selection, family: Family, task: str) -> tuple[str, ...]:
    """Return the inputs that an architecture selects for a task; those with a condition count as selected.

    Names that the family does not define are left to the checks.
    """
    names = [use.name if isinstance(use, ConditionalInput) else use for use in architecture.inputs]
    only_for = {name: family.inputs[name].only_for for name in names if name in family.inputs}
    return tuple(name for name, tasks in only_for.items() if not tasks or task in tasks)


def switches(architecture: Selection) -> frozenset[str]:
    """Return the options that decide whether an input is there."""
    uses = (use for use in architecture.inputs if isinstance(use, ConditionalInput))
    return frozenset(option for use in uses for option in _options(use.when))


def pipeline_options(pipeline: Pipeline) -> frozenset[str]:
    """Return the options that decide whether a part is there; inputs of other parts follow them."""
    return frozenset(option for part in pipeline.parts.values() for option in _options(part.when))


def _options(when: When | None) -> set[str]:
    return {condition.option for condition in all_of(when) if isinstance(condition, OptionOn)}


def default_of(axis: Axis, task: str | None) -> int | str | None:
    """Return what an axis says about its size without the caller, in one task or in most."""
    return axis.default if task is None else axis.default_for.get(task, axis.default)


def has_default(
    axis: str, axes: Mapping[str, Axis], aliases: Mapping[str, str], task: str | None = None
) -> bool:
    """Tell whether an axis has a size without the caller: a number, another axis, or a dim of the config."""
    default = default_of(axes[axis], task)
    known = {*aliases, *axes} - ({axis} - set(aliases))
    if isinstance(default, str):
        return all(key in known for key in DERIVED_DIMS.get(default, (default,)))
    return default is not None
