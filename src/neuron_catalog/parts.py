"""The traced functions of an artifact whose task takes several, as its manifest describes them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of everything recorded: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
