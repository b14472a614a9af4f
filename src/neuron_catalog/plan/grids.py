"""What a model holds to beside its inputs: sizes that are multiples, and constants made from sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from neuron_catalog.catalog.selection import selected_constants
from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import ConstantTensor
from neuron_catalog.plan.dims import Dims
from neuron_catalog.schema.components import Selection
from neuron_catalog.schema.documents import Family
from neuron_catalog.schema.tensors import Axis


def require_multiples(name: str, axes: Mapping[str, Axis], dims: Dims) -> None:
    """Hold each chosen axis to the dim that divides it.

    Raises:
        RequestError: naming the axis, and the next smaller size that fits.
    """
    for axis, chosen in dims.axes.items():
        factor = axes[axis].multiple_of
        if factor and chosen % (unit := dims.size(factor)):
            raise RequestError(
                f"{axis} {chosen} is no multiple of {unit}, as this {name} model needs it ({factor}).",
                f"Use --{axis} {max(1, chosen // unit) * unit}.",
            )


def constants_of(architecture: Selection, family: Family, task: str, dims: Dims) -> Iterator[ConstantTensor]:
    """Yield the constants of a task with their values."""
    for name in selected_constants(architecture, family, task):
        constant = family.constants[name]
        each = constant.each
        row = tuple(_number(size, dims) for size in each) if isinstance(each, tuple) else _number(each, dims)
        value = (row,) * dims.size(constant.times)
        yield ConstantTensor(name=name, axis=constant.times, dtype=constant.dtype, value=value)


def _number(size: int | str, dims: Dims) -> int:
    return size if isinstance(size, int) else dims.size(size)
