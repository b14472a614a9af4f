"""Give inputs the sizes of a graph, and its outputs the sizes of what the caller gave.

Dimensions are matched by the names of their axes. Which axes may be filled up is not decided here: it is
tried at export, and the manifest tells. Those without a filling are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from neuron_catalog.manifest import Filling, InputTensor, OutputTensor, Plan
from neuron_catalog.schema.words import BEGINS_WITH, ENDS_WITH

Sizes = Mapping[str, int]
T = TypeVar("T", InputTensor, OutputTensor)


def filled_up(tensor: InputTensor, value: Tensor, fillings: Mapping[str, Filling]) -> Tensor:
    """Fill a value up to the shape of its graph: with copies of the last row, or with its pad value.

    Copies are real data, so that nothing new can go wrong in them.
    """
    for place, (axis, size) in enumerate(zip(tensor.axes, tensor.shape, strict=True)):
        lacking = size - value.shape[place]
        if not lacking or axis not in fillings:
            continue
        if fillings[axis] == "rows":
            last = value.narrow(place, value.shape[place] - 1, 1)
            shape = [lacking if each == place else old for each, old in enumerate(value.shape)]
            value = torch.cat([value, last.expand(shape)], place)
        else:
            sides = (lacking, 0) if fillings[axis] == "left" else (0, lacking)
            around = [0, 0] * (value.dim() - place - 1)
            value = functional.pad(value, (*around, *sides), value=tensor.pad)
    return value


def cut_back(
    tensor: OutputTensor, value: Tensor, given: Sizes, plan: Plan, fillings: Mapping[str, Filling]
) -> Tensor:
    """Take out of an output what belongs to filled-up entries.

    Positions of a text may stand before or after others, such as those of an image.
    """
    for place, name in enumerate(tensor.axes):
        axis = (BEGINS_WITH | ENDS_WITH).get(name, name)
        if axis not in fillings or given[axis] >= (size := plan.axes[axis]):
            continue
        begin = value.shape[place] - size if name in ENDS_WITH else 0
        dead = begin if fillings[axis] == "left" else begin + given[axis]
        value = _without(value, place, dead, size - given[axis])
    return value


def _without(value: Tensor, place: int, first: int, count: int) -> Tensor:
    """Return a tensor without `count` entries of a dimension, the `first` of them and those after it."""
    after = first + count
    rest = value.shape[place] - after
    if not rest:
        return value.narrow(place, 0, first)
    if not first:
        return value.narrow(place, after, rest)
    return torch.cat([value.narrow(place, 0, first), value.narrow(place, after, rest)], place)


def resized(plan: Plan, sizes: Sizes) -> Plan:
    """Return a plan of other sizes; dims that are computed from these are left as they are."""
    return plan.model_copy(
        update={
            "inputs": tuple(_resized(tensor, sizes) for tensor in plan.inputs),
            "outputs": tuple(_resized(tensor, sizes) for tensor in plan.outputs),
        }
    )


def _resized(tensor: T, sizes: Sizes) -> T:
    sizes_of = zip(tensor.axes, tensor.shape, strict=True)
    return tensor.model_copy(update={"shape": tuple(sizes.get(axis, old) for axis, old in sizes_of)})
