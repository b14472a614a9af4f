"""Tensors and traced functions, as a manifest describes them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of everything recorded: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputTensor(Record):
    """One input of a graph, all numbers."""

    name: str
    axes: tuple[str, ...]
    """Name of each dimension."""
    shape: tuple[int, ...]
    dtype: str
    fill: str
    below: int | None = None
    """Example ids are drawn from 0 (inclusive) to this number (exclusive)."""
    pad: int | None = None
    """What a short input is filled up with; None if it must match exactly."""
    default: int | None = None
    """The value of all entries where a caller gives none; an input without it must be given."""
    ends_with: int | None = None
    """The id at the end of each row's real tokens, if there must be one."""
    placeholder: int | None = None
    """The id that stands for a part of another input, `placeholders` times in each row."""
    placeholders: int = 0
    """How many entries of each row, after its first, stand for a part of another input."""
    marks: tuple[int, ...] = ()
    """Ids that stand once in each row, after those of the other input."""
    masks: tuple[str, ...] = ()


class ConstantTensor(Record):
    """An argument of `forward` that was fixed when the graph was made, with its value: equal rows."""

    name: str
    axis: str
    """What the rows are counted by."""
    dtype: str
    value: tuple[int, ...] | tuple[tuple[int, ...], ...]


class OutputTensor(Record):
    """One output of a graph. A size of None is whatever the eager model gives; a last axis `...` stands for
    any number of such dimensions."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def is_open(self) -> bool:
        """Whether more dimensions may follow than the axes name."""
        return self.axes[-1:] == ("...",)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Tell whether a shape is what was planned."""
        planned = self.shape[:-1] if self.is_open else self.shape
        enough = len(shape) >= len(planned) if self.is_open else len(shape) == len(planned)
        return enough and all(size in (None, given) for size, given in zip(planned, shape, strict=False))


class PartTensor(Record):
    """A tensor in the signature of a part."""

    name: str
    shape: tuple[int, ...]
    dtype: str


STATE = "past."
"""What the names of states begin with: they are inputs and outputs, which the next call takes."""


class Part(Record):
    """A traced function of an artifact whose task takes several: `prefill`, `decode`, `encoder`."""

    name: str
    """What it is called in the artifact's file."""
    inputs: tuple[PartTensor, ...]
    outputs: tuple[str, ...]

    @property
    def states(self) -> tuple[PartTensor, ...]:
        """The inputs that are updated: each is an output of the same name, shape and type, too."""
        return tuple(tensor for tensor in self.inputs if tensor.name.startswith(STATE))

    @property
    def state_places(self) -> tuple[tuple[int, int], ...]:
        """For each state the number of the input, and of the output that is its new value."""
        numbers = {tensor.name: number for number, tensor in enumerate(self.inputs)}
        return tuple((numbers[state.name], self.outputs.index(state.name)) for state in self.states)
