"""Axes, inputs and outputs as a family declares them and an architecture selects them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    WrapSerializer,
)

from neuron_catalog.schema.conditions import When
from neuron_catalog.schema.words import (
    ArgumentName,
    DimName,
    Dtype,
    Fill,
    InputName,
    SeriesName,
    ShapeWord,
    Size,
    Strict,
    TaskName,
    TensorName,
)

K = TypeVar("K")
V = TypeVar("V")


def _as_dict(value: Mapping[Any, Any], write: SerializerFunctionWrapHandler) -> Any:
    return write(dict(value))


FrozenMap = Annotated[Mapping[K, V], AfterValidator(MappingProxyType), WrapSerializer(_as_dict)]
"""A mapping that cannot be changed after it was read."""

# min_length stands inside: pydantic would write it into the JSON Schema as the length of a text otherwise.
NonEmptyMap = Annotated[
    Mapping[K, V], Field(min_length=1), AfterValidator(MappingProxyType), WrapSerializer(_as_dict)
]

T = TypeVar("T")
List = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, frozen as a tuple. Lists replace each other; they are never joined."""

NonEmptyList = Annotated[tuple[T, ...], Field(strict=False, min_length=1)]

Shape = List[ShapeWord]


class Axis(Strict):
    """A size the caller chooses: `suggest` names one in messages, `default` makes it optional."""

    suggest: Size | None = None
    """The size named in error messages; the caller must choose, for a wrong static shape is costly."""
    default: Size | DimName | None = None
    """The size used when the caller says nothing: a number, another axis, or a dim that the model's config
    gives. An architecture whose config does not give it lists the axis as mandatory."""
    default_for: FrozenMap[TaskName, Size | DimName] = {}
    """Other defaults for single tasks."""
    at_most: DimName | None = None
    """Another axis that this one may not exceed."""
    fixed: bool = False
    """Whether the default is the only size there is; the caller may repeat it, but not change it."""
    dynamic: bool = False
    """Whether a larger size can be served at run time by splitting (the batch)."""
    multiple_of: DimName | None = None
    """A dim that divides every size of this axis."""
    only_for: List[TaskName] = ()
    """The tasks that have this axis; all if empty."""


class Placeholder(Strict):
    """An id that stands in a text for a part of another input, such as a patch of an image."""

    id: DimName
    """The config key of the id."""
    times: DimName
    """How often it stands in each row."""
    beside: DimName | None = None
    """The config key of ids that models may read around it, such as one for the end of an image. Each stands
    in every row too, if the normalized config has the key."""


class Input(Strict):
    """One input tensor of a family."""

    shape: Shape
    shape_for: FrozenMap[TaskName, Shape] = {}
    """Other shapes for single tasks."""
    only_for: List[TaskName] = ()
    """The tasks that have this input; all if empty."""
    dtype: Dtype
    fill: Fill
    """How example values are made for tracing and validation."""
    for_each: SeriesName | None = None
    """The tensor stands once for each member of this series, and is named by its number: `name.0`, …"""
    below: Size | DimName | None = None
    """For `random_ids`: ids are drawn below this size."""
    pad: int | NonEmptyList[DimName] | None = None
    """What short inputs are filled up with: a number, or config keys of which the first one set counts.
    Without it an input must match exactly."""
    default: int | None = None
    """The value of all entries where a caller gives none; an input without it must be given."""
    ends_with: DimName | None = None
    """For `random_ids`: the config key of an id that stands at the end of each row's real tokens."""
    holds: Placeholder | None = None
    """For `random_ids`: an id that stands in each row, after its first token, as often as said."""
    times: DimName | None = None
    """For `span`: how many entries of each row, after its first, are one; the others are zero."""
    masks: List[TensorName] = ()
    """For `padded_mask`: the inputs whose entries under a zero are ignored by the model."""

    @property
    def bounds(self) -> tuple[str, ...]:
        """The dim that its ids stay below, if that is no number."""
        return (self.below,) if isinstance(self.below, str) else ()


class Constant(Strict):
    """A tensor argument of `forward` that decides what is computed, such as the grids of images: loops run
    over it. It is fixed when the graph is made, no input of it, and a runtime refuses any other value."""

    each: Size | DimName | NonEmptyList[Size | DimName]
    """The row of one image: numbers and dims; one that is no list makes a tensor with one dimension."""
    times: DimName
    """How many such rows there are."""
    dtype: Literal["int64", "int32"]
    only_for: List[TaskName] = ()
    """The tasks that have it; all if empty."""


class PerLayer(Strict):
    """An optional output that a model gives once per layer: `hidden_states.0`, `hidden_states.1`, …"""

    per_layer: Shape
    layers: DimName
    """How many tensors there are."""
    option: ArgumentName
    """The export option that asks for it."""
    only_for: List[TaskName] = ()


class Repeated(Strict):
    """An output that a model gives once for each member of a series: `name.0`, `name.1`, …"""

    for_each: SeriesName
    shape: Shape


def _output_form(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return "<shape>"
    if isinstance(value, PerLayer):
        return "<per_layer>"
    if isinstance(value, Repeated):
        return "<for_each>"
    if isinstance(value, Mapping):
        named = {key for key, found in value.items() if isinstance(found, str)}  # a task's shape is a list
        if "for_each" in named or ("shape" in value and named):
            return "<for_each>"
        return "<per_layer>" if "per_layer" in value or named & {"layers", "option"} else "<by_task>"
    return None


Output = Annotated[
    Annotated[Shape, Tag("<shape>")]
    | Annotated[PerLayer, Tag("<per_layer>")]
    | Annotated[Repeated, Tag("<for_each>")]
    | Annotated[NonEmptyMap[TaskName, Shape], Tag("<by_task>")],
    Discriminator(
        _output_form,
        custom_error_type="output_form",
        custom_error_message="should be a list of dims, a list per task, {per_layer: …} or {for_each: …}",
    ),
]
"""A shape, one shape per task, one tensor per layer, or one for each member of a series."""


def shape_of(output: Output, task: str) -> tuple[str, ...] | None:
    """Return the shape that an output can be selected with for a task; None if it cannot."""
    if isinstance(output, PerLayer):
        return None
    if isinstance(output, Repeated):
        return output.shape
    return output.get(task) if isinstance(output, Mapping) else output


class ConditionalInput(Strict):
    """An input that is selected only while `when` holds."""

    name: InputName
    when: When


def _use_form(value: Any) -> str:
    return "<when>" if isinstance(value, (Mapping, ConditionalInput)) else "<name>"


InputUse = Annotated[
    Annotated[InputName, Tag("<name>")] | Annotated[ConditionalInput, Tag("<when>")],
    Discriminator(_use_form),
]
"""An input that an architecture selects: its name, or a name with a condition."""
