"""Axes, inputs and outputs as a family declares them and an architecture selects them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Discriminator, Field, PlainSerializer, Tag

from neuron_catalog.schema.conditions import When
from neuron_catalog.schema.words import (
    DimName,
    Dtype,
    Fill,
    OptionName,
    ShapeWord,
    Size,
    Strict,
    TaskName,
    TensorName,
)

K = TypeVar("K")
V = TypeVar("V")

FrozenMap = Annotated[
    Mapping[K, V], AfterValidator(MappingProxyType), PlainSerializer(dict, return_type=dict)
]
"""A mapping that cannot be changed after it was read."""

NonEmptyMap = Annotated[FrozenMap[K, V], Field(min_length=1)]

T = TypeVar("T")
List = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, frozen as a tuple. Lists replace each other; they are never joined."""

NonEmptyList = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]

Shape = List[ShapeWord]


class Axis(Strict):
    """A size the caller chooses. Exactly one of `suggest` and `default` must be given."""

    suggest: Size | None = None
    """The size named in error messages; the caller must choose, for a wrong static shape is costly."""
    default: Size | None = None
    """The size used when the caller says nothing."""
    dynamic: bool = False
    """Whether a larger size can be served at run time by splitting (the batch)."""
    only_for: List[TaskName] = ()
    """The tasks that have this axis; all if empty."""


class Input(Strict):
    """One input tensor of a family."""

    shape: Shape
    shape_for: FrozenMap[TaskName, Shape] = {}
    """Other shapes for single tasks."""
    dtype: Dtype
    fill: Fill
    """How example values are made for tracing and validation."""
    below: DimName | None = None
    """For `random_ids`: ids are drawn below this size."""
    pad: int | NonEmptyList[DimName] | None = None
    """What short inputs are filled up with: a number, or config keys of which the first one set counts.
    Without it an input must match exactly."""
    masks: List[TensorName] = ()
    """For `padded_mask`: the inputs whose entries under a zero are ignored by the model."""


class PerLayer(Strict):
    """An optional output that a model gives once per layer: `hidden_states.0`, `hidden_states.1`, …"""

    per_layer: Shape
    layers: DimName
    """How many tensors there are."""
    option: OptionName
    """The export option that asks for it."""
    only_for: List[TaskName] = ()


def _output_form(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "shape"
    if isinstance(value, PerLayer) or (isinstance(value, Mapping) and "per_layer" in value):
        return "per_layer"
    return "by_task"


Output = Annotated[
    Annotated[Shape, Tag("shape")]
    | Annotated[PerLayer, Tag("per_layer")]
    | Annotated[NonEmptyMap[TaskName, Shape], Tag("by_task")],
    Discriminator(_output_form),
]
"""A shape, one shape per task, or one tensor per layer."""


class ConditionalInput(Strict):
    """An input that is selected only while `when` holds."""

    name: TensorName
    when: When


def _use_form(value: Any) -> str:
    return "name" if isinstance(value, str) else "when"


InputUse = Annotated[
    Annotated[TensorName, Tag("name")] | Annotated[ConditionalInput, Tag("when")],
    Discriminator(_use_form),
]
"""An input that an architecture selects: its name, or a name with a condition."""
