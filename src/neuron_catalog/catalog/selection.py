"""What an architecture selects from its family, as far as that can be told without a config."""

from __future__ import annotations

from collections.abc import Mapping

from neuron_catalog.schema.documents import Architecture, Family
from neuron_catalog.schema.tensors import Axis, ConditionalInput
from neuron_catalog.schema.words import DERIVED_DIMS


def axes_in_use(
    architecture: Architecture, family: Family, aliases: Mapping[str, str], task: str | None = None
) -> set[str]:
    """Return the axes that matter in `task`, or in any task.

    These are the axes in the shapes of the selected inputs, and the fixed ones that the config knows.
    """
    tasks = [task] if task else list(architecture.tasks)
    names = {use.name if isinstance(use, ConditionalInput) else use for use in architecture.inputs}
    found = {name for name, axis in family.axes.items() if axis.fixed and has_default(axis, aliases)}
    for each in tasks:
        for tensor in (family.inputs[name] for name in names & set(family.inputs)):
            if tensor.only_for and each not in tensor.only_for:
                continue
            dims = tensor.shape_for.get(each, tensor.shape)
            found |= {part for dim in dims for part in (dim, *DERIVED_DIMS.get(dim, ()))} & set(family.axes)
    return {
        name
        for name in found
        if not family.axes[name].only_for or set(family.axes[name].only_for) & set(tasks)
    }


def has_default(axis: Axis, aliases: Mapping[str, str]) -> bool:
    """Tell whether an axis has a size without the caller: a number, or a dim that the config gives."""
    if isinstance(axis.default, str):
        return all(key in aliases for key in DERIVED_DIMS.get(axis.default, (axis.default,)))
    return axis.default is not None
