"""What a model answered, for when it is gone.

Answers lie in a file: those of a model with a large vocabulary to 20 questions outweigh the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import torch
from torch import Tensor

from neuron_catalog.errors import NeuronCatalogError
from neuron_catalog.exporting.subject import Outputs


class UnaskedError(Exception):
    """A check asks for something that `questions` leaves out: a mistake in this package.

    It is no error that a model may raise, so that nothing takes it for a refusal.
    """


@dataclass(frozen=True)
class Kept:
    """A tensor in a file."""

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Recollection:
    """Answers of one function, by the tensors that it was given; several may share a file."""

    file: BinaryIO
    answers: dict[bytes, dict[str, Kept] | NeuronCatalogError] = field(default_factory=dict)

    def hear(self, inputs: Mapping[str, Tensor], ask: Callable[[], Outputs]) -> None:
        """Keep what a function answers, or its refusal.

        A refusal is kept without its traceback, which would keep the model in memory.

        Raises:
            OSError: if the disk is full.
        """
        question = _digest(inputs.values())
        if question in self.answers:
            return
        try:
            outputs = ask()
        except NeuronCatalogError as error:
            self.answers[question] = type(error)(error.cause, error.remedy)
        else:
            self.answers[question] = {name: self._write(value) for name, value in outputs.items()}

    def oracle(self, inputs: Mapping[str, Tensor]) -> Outputs:
        """Answer again, by name.

        Raises:
            NeuronCatalogError: the refusal, if it was one.
            UnaskedError: if this was never asked.
        """
        answer = self.answers.get(_digest(inputs.values()))
        if answer is None:
            raise UnaskedError("The eager model was not asked for this before it was let go.")
        if isinstance(answer, NeuronCatalogError):
            raise answer
        return {name: self._read(kept) for name, kept in answer.items()}

    def graph(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Answer again, by position."""
        return tuple(self.oracle({str(place): tensor for place, tensor in enumerate(tensors)}).values())

    def _write(self, value: Tensor) -> Kept:
        offset = self.file.seek(0, 2)
        self.file.write(_raw(_packed(value)))
        return Kept(offset, tuple(value.shape), value.dtype)

    def _read(self, kept: Kept) -> Tensor:
        value = torch.empty(kept.shape, dtype=kept.dtype)
        self.file.seek(kept.offset)
        raw = _raw(value)
        if self.file.readinto(raw) != len(raw):  # type: ignore[attr-defined]
            raise OSError("the file of the model's answers was cut short")
        return value


def _digest(tensors: Iterable[Tensor]) -> bytes:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(_raw(_packed(tensor)))
    return digest.digest()


def _packed(tensor: Tensor) -> Tensor:
    """A copy in order. `contiguous` is not enough: it leaves the stride of a single entry as it is."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _raw(packed: Tensor) -> memoryview:
    """The bytes of a tensor, to be read or written to."""
    flat = packed.reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(bytearray())
