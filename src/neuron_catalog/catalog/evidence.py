"""Recorded runs: which architecture × task × backend passed, with which versions.

Only `selftest --record` writes them: one file for each architecture, `evidence/<name>.jsonl`, one line for
each task, backend and set of versions. A line holds for the very definition that was run: it carries the
digest of everything the catalog says about the architecture, and counts for nothing once that has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, JsonValue

from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import CatalogError, Finding
from neuron_catalog.schema.components import Pipeline, Selection
from neuron_catalog.schema.documents import Family, Task

Key = tuple[str, str, tuple[tuple[str, str], ...], str]
"""Task, backend, the versions of packages, and what was compiled for, if that can be several things."""


class Evidence(BaseModel):
    """One recorded run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = ""
    """A task of an architecture, or a use of a pipeline; empty for a component."""
    backend: str
    tier: Tier
    versions: dict[str, str]
    date: str
    """Day of the run, YYYY-MM-DD."""
    definition: str
    """Digest of the definition that was run."""
    checks: dict[str, str]
    """Check → passed, not_run or deviates; a failed run is not recorded."""
    reasons: dict[str, str] = {}
    """Check that was not run → why not."""
    largest_scaled_difference: float
    """Largest difference in any output, as a share of the largest eager value."""
    seconds: float
    compiler: dict[str, JsonValue] = {}
    """What the compiler was passed, if there was one."""
    graphs: dict[str, JsonValue] = {}
    """Name of a graph → what the backend saw of it, such as the digest and the operators of its HLO."""

    @property
    def key(self) -> Key:
        """What a later run of the same kind replaces."""
        return key(self.task, self.backend, self.versions, self.compiler)


def key(task: str, backend: str, versions: Mapping[str, str], compiler: Mapping[str, JsonValue]) -> Key:
    """Return what tells runs of one definition apart."""
    return task, backend, tuple(sorted(versions.items())), str(compiler.get("target", ""))


UNDECISIVE = {"summary", "checkpoint", "requires", "known_issues", "compiler"}
"""What a definition says without deciding what is run: prose, the bounds of versions, and the facts for a
compiler, which the runs that had one record by themselves."""


def definition_digest(
    architecture: Selection, family: Family, aliases: Mapping[str, str], tasks: Mapping[str, Task]
) -> str:
    """Return the digest of all that decides what is run; prose and the bounds of versions do not.

    Defaults are left out too, so that a new key of the format leaves what was recorded without it standing.
    """
    said = {
        "architecture": architecture.model_dump(mode="json", exclude=UNDECISIVE, exclude_defaults=True),
        "family": family.model_dump(mode="json", exclude=UNDECISIVE, exclude_defaults=True),
        "normalized_config": dict(aliases),
        "auto_classes": {name: tasks[name].auto_class for name in architecture.tasks if name in tasks},
    }
    return _digest(said)


def pipeline_digest(pipeline: Pipeline, aliases: Mapping[str, str], components: Mapping[str, str]) -> str:
    """Return the digest of all that decides what is run of a pipeline; `components`: name → its own."""
    said = {
        "pipeline": pipeline.model_dump(mode="json", exclude=UNDECISIVE, exclude_defaults=True),
        "normalized_config": dict(aliases),
        "components": dict(components),
    }
    return _digest(said)


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def read_evidence(path: Path) -> tuple[Evidence, ...]:
    """Read a file of recorded runs; none if it does not exist.

    Raises:
        CatalogError: naming the line that cannot be read.
    """
    if not path.is_file():
        return ()
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(Evidence.model_validate_json(line))
        except pydantic.ValidationError as error:
            message = f"not a recorded run: {error.errors(include_url=False)[0]['msg']}"
            fix = "remove the line and record it again with `neuron-catalog selftest --record`"
            raise CatalogError([Finding(path, number, 1, "NC400", message, fix)]) from None
    return tuple(found)


def write_evidence(
    path: Path, definition: str, new: Iterable[Evidence], withdrawn: Iterable[Key] = ()
) -> None:
    """Add recorded runs to a file, in place of those with the same task, backend and versions.

    Runs of another definition are dropped: they prove nothing about this one. So are those that are
    `withdrawn`, since they failed just now; with other versions they may still pass.
    """
    gone = set(withdrawn)
    kept = {
        run.key: run for run in read_evidence(path) if run.definition == definition and run.key not in gone
    }
    kept |= {run.key: run for run in new}
    if not kept:
        path.unlink(missing_ok=True)
        return
    lines = [run.model_dump_json(exclude_defaults=True) + "\n" for _, run in sorted(kept.items())]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
