"""What lies beside a compiled graph: the plan, the checks it passed, and the digest of each file.

These objects are plain data that pydantic reads and writes as JSON. Everything needed to run an artifact,
or to repeat its validation, is in `neuron_catalog.json`; neither catalog nor exporter is needed to run one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from neuron_catalog.digests import FileName, FileRecord, alteration
from neuron_catalog.errors import RequestError
from neuron_catalog.inventory import MANIFEST_NAME as MANIFEST_NAME
from neuron_catalog.inventory import Inventory, said_in
from neuron_catalog.parts import ConstantTensor as ConstantTensor
from neuron_catalog.parts import InputTensor as InputTensor
from neuron_catalog.parts import OutputTensor as OutputTensor
from neuron_catalog.parts import Part
from neuron_catalog.parts import Record as Record


class Waiver(Record):
    """A check that this architecture breaks by design, with the reason from its YAML."""

    check: str
    reason: str


class Plan(Record):
    """An architecture bound to one config, one task and chosen axes: nothing is left to decide."""

    architecture: str
    task: str
    library: str = "transformers"
    """The library that builds the eager model."""
    model_class: str
    """The class that builds the eager model: the task's auto class, or the architecture's own."""
    runtime_class: str
    attn_implementation: str | None = None
    """Named if it is not the one that transformers chooses."""
    wrapper: str
    forward_arguments: dict[str, bool | int | float | str]
    axes: dict[str, int]
    dynamic_axes: tuple[str, ...] = ()
    """Axes that may be exceeded at run time: the inputs are split and the results joined."""
    options: tuple[str, ...] = ()
    inputs: tuple[InputTensor, ...]
    constants: tuple[ConstantTensor, ...] = ()
    """What the graph was made for: whoever calls it gives these very values."""
    outputs: tuple[OutputTensor, ...]
    cures: tuple[str, ...] = ()
    atol: float
    atol_from_caller: bool = False
    waivers: tuple[Waiver, ...] = ()
    compiler: dict[str, bool | int | float | str] = {}

    @property
    def masks(self) -> tuple[InputTensor, ...]:
        """The inputs that tell real entries from padding: of a text, and of a sound beside it."""
        return tuple(tensor for tensor in self.inputs if tensor.masks)


Status = Literal["passed", "failed", "not_run", "deviates"]


class Difference(Record):
    """The largest absolute difference seen in one output, and the largest that was allowed."""

    output: str
    seed: int
    largest: float
    allowed: float


class Check(Record):
    """The outcome of one check. `detail` says what was seen, or why the check was not run."""

    name: str
    status: Status
    detail: str
    differences: tuple[Difference, ...] = ()


Filling = Literal["rows", "right", "left"]
"""How inputs smaller than compiled are filled up: with copies of the last row, or with pad values."""


class AxisFit(Record):
    """Whether inputs may be smaller along an axis than the graph: tried when it was exported."""

    axis: str
    filled: Filling | None
    """None if they must have the very size that was compiled."""
    detail: str
    """What was tried and seen, or why nothing can be filled up."""


class Graph(Record):
    """One compiled graph, the sizes that it was made for, and what was seen of it."""

    name: str
    """What it is called in the artifact's file."""
    plan: Plan
    checks: tuple[Check, ...]
    fits: tuple[AxisFit, ...] = ()


class BackendRecord(Record):
    """What compiled the graph, with which arguments and versions."""

    name: str
    arguments: dict[str, JsonValue]
    versions: dict[str, str]
    observed: dict[str, JsonValue] = {}
    """Name of a traced function → what was seen of it while it was compiled."""


class SourceRecord(Record):
    """Where the weights came from. `tiny` is a seeded random model, not a checkpoint."""

    kind: Literal["tiny", "checkpoint"]
    model: str
    revision: str | None = None
    seed: int | None = None
    weights_sha256: str
    weights_bytes: int
    """Bytes of the distinct weight tensors; tied ones count once."""
    tied_weights: tuple[tuple[str, ...], ...] = ()
    """Groups of names that share one tensor."""
    missing_weights: tuple[str, ...] = ()
    """Weights that the checkpoint lacks; no exported output depends on them."""


class Manifest(Inventory):
    """The content of `neuron_catalog.json` of a model."""

    file: FileName
    """Name of the file with all graphs, which share one set of weights."""
    graphs: tuple[Graph, ...]
    """The largest one last; the others serve smaller inputs."""
    parts: tuple[Part, ...] = ()
    """The traced functions, if a graph takes several; else each graph is one, by its own name."""
    returns: dict[str, str] = {}
    """Where in the model's answer an object stands (`""` for the whole) → its class in transformers."""
    backend: BackendRecord
    source: SourceRecord
    seed: int
    """Seed of the inputs that were traced; validation used the following ones."""
    files: dict[FileName, FileRecord]

    @property
    def plan(self) -> Plan:
        """The plan of the largest graph."""
        return self.graphs[-1].plan

    @property
    def sides(self) -> tuple[Filling, ...]:
        """Where padding was put, the preferred side first."""
        left = any(fit.filled == "left" for graph in self.graphs for fit in graph.fits)
        return ("left", "right") if left else ("right", "left")

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of all traced functions in the file."""
        return tuple(each.name for each in self.parts or self.graphs)

    @property
    def verified(self) -> bool:
        """Whether the checks of each graph were run, and none failed."""
        statuses = [{check.status for check in graph.checks} for graph in self.graphs]
        return all("passed" in each and "failed" not in each for each in statuses) and self.was_run

    @property
    def was_run(self) -> bool:
        """Whether the compiled graphs were run when they were made: it may have been asked not to, and there
        may have been no device."""
        return all(c.status != "not_run" for g in self.graphs for c in g.checks if c.name == "signature")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of an artifact.

        Raises:
            RequestError: if `folder` holds no manifest, or one that this version cannot read.
        """
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise RequestError(
                f"{folder} is no exported artifact: it has no {MANIFEST_NAME}.",
                "Give the folder that `neuron-catalog export` wrote.",
            )
        said = said_in(folder)
        if "pipeline" in said:
            uses = said.get("uses")
            names = (
                [name for name in uses.values() if isinstance(name, str)] if isinstance(uses, dict) else []
            )
            raise RequestError(
                f"{folder} is a whole pipeline, whose parts are artifacts each.",
                f"Load it with {' or '.join(names) or 'the class of its use'}.",
            )
        return cls.parsed(path)

    def altered_files(self, folder: Path, root: Path | None = None) -> tuple[str, ...]:
        """Return a sentence for each file whose content is not what was exported.

        `root` is the folder that no link may lead out of; that of the whole pipeline, if it is a part of one.
        """
        root = root or folder
        told = (alteration(folder / name, recorded, root=root) for name, recorded in self.files.items())
        return tuple(filter(None, told))
