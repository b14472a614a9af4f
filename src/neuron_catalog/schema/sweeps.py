"""`sweep.yaml`: many exports at once, as frozen objects."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from neuron_catalog.schema.tensors import FrozenMap, List, NonEmptyList
from neuron_catalog.schema.words import BYTES, DimName, Size, Strict, TaskName

Text = Annotated[str, StringConstraints(min_length=1, max_length=400)]
Bytes = Annotated[str, StringConstraints(pattern=BYTES)]
BackendName = Annotated[str, StringConstraints(min_length=1)]


class Buckets(Strict):
    """Sizes of one axis that go into one artifact, a graph each."""

    buckets: NonEmptyList[Size]


class Exclusion(Strict):
    """Jobs that are left out: all those that everything written here holds of."""

    model: Text | None = None
    """As it stands under `models`, or the folder that a glob found."""
    task: TaskName | None = None
    backend: BackendName | None = None
    axes: FrozenMap[DimName, Size] = {}
    """Axis → size. It holds of buckets that have this size among them."""


class Limits(Strict):
    """What one job may take."""

    memory: Bytes | None = None
    """The most memory of a job and of the compiler that it starts; a job that takes more is ended."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """The longest time; a job that takes longer is ended."""
    cpus: Size | None = None
    """Processor cores of one job. Without: one of a cluster, an equal share of one machine."""
    neuron_cores: Annotated[int, Field(ge=0)] = 0
    """NeuronCores on which a job checks what it compiled. A cluster gives it to a machine that has them."""
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    """How often a job is done again whose process was killed or whose machine went away.

    A model that is refused, or fails a check, is not tried again: it would fail again.
    """


class Sweep(Strict):
    """The whole file. A job is one artifact: a model, a task, sizes and a backend."""

    models: NonEmptyList[Text]
    """Names of the catalog (their tiny models), ids of the hub, folders of checkpoints and globs of them."""
    tasks: List[TaskName] = ()
    """Each model is exported for those that it serves. Without any: a model of the catalog for all its tasks,
    a checkpoint for the one that it was trained for."""
    axes: FrozenMap[DimName, Size | NonEmptyList[Size] | Buckets] = {}
    """Axis → a size, a list of sizes (a job for each), or `buckets` (one job, a graph for each).

    A job gets the axes that its model has."""
    backends: List[BackendName] = ()
    """A job for each. Without any: the preferred one of the machine."""
    compiler: FrozenMap[DimName, bool | int | float | str | List[Text]] = {}
    """What the compilers should do, by the names of the options of `export`: `optlevel: 1`.

    Each backend gets those that it can do."""
    validation: bool = True
    """Whether the compiled graphs are checked against the eager models."""
    exclude: List[Exclusion] = ()
    destination: Text
    """A folder, or an address in a store such as `s3://bucket/folder`, that gets a folder for each job."""
    limits: Limits = Limits()
