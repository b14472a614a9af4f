"""What a model's `forward` is given besides its inputs: options, and constants as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neuron_catalog.manifest import ConstantTensor, Plan


def fixed_arguments(plan: Plan, inputs: Mapping[str, Tensor] | None = None) -> dict[str, Any]:
    """Return the arguments that do not change from call to call.

    A constant has a row for each row of the inputs that it goes with, which may be fewer or more than
    planned; as planned, if no inputs are given.
    """
    given = {
        axis: size
        for tensor in plan.inputs
        if inputs is not None
        for axis, size in zip(tensor.axes, inputs[tensor.name].shape, strict=True)
    }
    constants = {each.name: _tensor(each, given.get(each.axis)) for each in plan.constants}
    return {**plan.forward_arguments, **constants}


def _tensor(constant: ConstantTensor, rows: int | None) -> Tensor:
    value = constant.value if rows is None else constant.value[:1] * rows
    return torch.tensor(value, dtype=getattr(torch, constant.dtype))
