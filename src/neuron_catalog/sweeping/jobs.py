"""One export of many, and what became of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from neuron_catalog.parts import Record

LONGEST_NAME = 200
"""Characters. A file system takes 255 bytes, and beside the folder of a job others are made for a while."""

NO_PART_OF_A_NAME = re.compile(r"[^\w.-]", re.ASCII)

State = Literal["done", "cached", "failed"]


class Job(Record):
    """One artifact that is to be made."""

    name: str
    """Of its folder at the destination; no other job of the sweep has it."""
    architecture: str
    model: str | None
    """A folder or an id of the hub; None for the architecture's tiny model."""
    task: str
    axes: dict[str, int | tuple[int, ...]]
    """Axis → size, or sizes of several graphs in one artifact."""
    backend: str
    compiler: dict[str, JsonValue] = {}
    validation: bool = True

    @property
    def source(self) -> str:
        """What is exported, as a table shows it."""
        return source_name(self.architecture, self.model)

    @property
    def sizes(self) -> str:
        """The axes in words: `batch_size 1, sequence_length 64 and 128`."""
        return ", ".join(f"{axis} {' and '.join(map(str, _all(size)))}" for axis, size in self.axes.items())


class Outcome(Record):
    """What became of a job. It is written when the artifact is at its place, or the job has failed."""

    format: Literal[1] = 1
    job: Job
    state: State
    cause: str = ""
    """Why it failed."""
    remedy: str = ""
    seconds: float
    megabytes: int | None
    """Peak of its process in MiB, which may be that of a job before it; None if the process was killed."""
    attempts: int = 1
    where: str
    """What did it, a machine and a process; empty if that was killed."""
    artifact_bytes: int = 0
    difference: float | None = None
    """Largest difference from the eager model, as a share of what is allowed; None if it was not measured."""


def source_name(architecture: str, model: str | None) -> str:
    """Return what records call the source of an export."""
    return model or f"tiny {architecture}"


def name_of(
    model: str,
    task: str,
    backend: str,
    axes: Mapping[str, int | tuple[int, ...]],
    *,
    tell_apart: bool = False,
) -> str:
    """Return a name for the folder of a job: its facts, as far as they fit.

    `tell_apart` adds a digest of the model, for two folders that end alike.
    """
    plain = Path(model).name if model.startswith((".", "/")) else model
    short = NO_PART_OF_A_NAME.sub("--", plain).strip(".-")
    sizes = [f"{axis}_{'+'.join(map(str, _all(size)))}" for axis, size in axes.items()]
    name = ".".join((short, task, backend, *sizes))
    if len(name) <= LONGEST_NAME and not tell_apart:
        return name
    digest = hashlib.sha256(f"{model}\0{task}\0{backend}\0{sizes}".encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}.{digest}"


def _all(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else size
