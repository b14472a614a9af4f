"""Ask the eager model for everything that an examination will want to know, so that it can be let go.

A graph holds the weights a second time. It is read when the model is gone, and compared with what was heard.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

import torch
from torch import Tensor

from neuron_catalog.exporting import fits
from neuron_catalog.exporting.questions import questions
from neuron_catalog.exporting.recollection import Recollection
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.models.sources import quiet_transformers


@dataclass(frozen=True)
class Heard:
    """What the plain model answered, and its wrapped functions."""

    eager: Recollection
    wrapped: Recollection


def rehearse(subjects: Mapping[str, Subject], file: BinaryIO) -> dict[str, Subject]:
    """Return subjects without a graph, and with what the eager model answered in place of it.

    It is asked in the order of `examine`, in which a model may change.

    Raises:
        RequestError: if the eager model refuses the inputs or is not deterministic.
        OSError: if the answers cannot be written to `file`.
    """
    heard = {name: Heard(Recollection(file), Recollection(file)) for name in subjects}
    with quiet_transformers(), warnings.catch_warnings():
        for name, subject in subjects.items():
            _hear_checks(subject, heard[name])
        warnings.simplefilter("ignore")  # models tell how they adapt to what is short
        for name, subject in subjects.items():
            _hear_fits(subject, heard[name])
    return {
        name: replace(
            subject, graph=unread, oracle=heard[name].eager.oracle, wrapped=heard[name].wrapped.graph
        )
        for name, subject in subjects.items()
    }


def _hear_checks(subject: Subject, heard: Heard) -> None:
    first = subject.require_deterministic()
    heard.eager.hear(subject.traced_inputs, lambda: first)
    for inputs in questions(subject):
        heard.eager.hear(inputs, partial(subject.eager, inputs))
    inputs = subject.mixed_inputs
    with torch.no_grad():
        heard.wrapped.hear(inputs, lambda: subject.compiled(inputs, subject.wrapped))


def _hear_fits(subject: Subject, heard: Heard) -> None:
    for inputs in fits.questions(subject):
        heard.eager.hear(inputs, partial(subject.eager, inputs))


def unread(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Stand for a graph that was not read yet."""
    raise NotImplementedError(f"The graph was not read yet, and is given {len(tensors)} tensors.")
