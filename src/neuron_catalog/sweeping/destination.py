"""Where a sweep puts its artifacts, and by them a record of it: a folder, or an address in a store.

`sweep.json` holds all jobs, `outcomes/<job>.json` what became of one, `<job>/` its artifact. Who has done a
job writes both itself, the outcome last; so whoever started the sweep may go away, and another may go on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydantic

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Manifest
from neuron_catalog.parts import Record
from neuron_catalog.schema.sweeps import Limits
from neuron_catalog.storage.stores import Store, is_url
from neuron_catalog.sweeping.jobs import Job, Outcome
from neuron_catalog.transfer import upload_artifact

SWEEP, OUTCOMES = "sweep.json", "outcomes"


class SweepRecord(Record):
    """What `sweep.json` says."""

    format: int = 1
    jobs: tuple[Job, ...]
    limits: Limits
    catalogs: tuple[str, ...] = ()
    """Folders of catalogs in front of the shipped one."""


@dataclass(frozen=True)
class Destination:
    """A folder or an address."""

    place: str

    @cached_property
    def _store(self) -> Store:
        # no `as_uri`: fsspec would take %20 for what the folder is called
        return Store(self.place if is_url(self.place) else f"file://{Path(self.place).absolute()}")

    @cached_property
    def _outcomes(self) -> Store:
        return self._store.inner(OUTCOMES)

    def of(self, job: Job) -> str:
        """Return where the artifact of a job is."""
        return f"{self.place.rstrip('/')}/{job.name}"

    def begin(self, record: SweepRecord) -> None:
        """Write down all jobs of a sweep; those of one that was here before must be the same.

        Raises:
            RequestError: if nothing can be written there, or another sweep has it.
        """
        if not is_url(self.place):
            self._make_folder()
        there = self._read()
        if there is not None and there.jobs != record.jobs:
            raise RequestError(
                f"{self.place} has the artifacts of a sweep with other jobs.",
                "Choose another destination, or go on with that one: neuron-catalog sweep resume "
                f"{self.place}",
            )
        self._store.write(SWEEP, record.model_dump_json().encode())

    def _make_folder(self) -> None:
        try:
            Path(self.place).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"{self.place} could not be written: {error.strerror}.", "Choose another destination."
            ) from error

    def record(self) -> SweepRecord:
        """Return the jobs of the sweep that is here.

        Raises:
            RequestError: if there is none, or the store cannot be reached.
        """
        record = self._read()
        if record is None:
            raise RequestError(f"{self.place} has no sweep: there is no {SWEEP}.", "Check the place.")
        return record

    def _read(self) -> SweepRecord | None:
        raw = self._store.read(SWEEP)
        try:
            return None if raw is None else SweepRecord.model_validate_json(raw, strict=False)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]["msg"]
            raise RequestError(
                f"{self.place}/{SWEEP} cannot be read: {first}.", "Use the version that wrote it."
            ) from None

    def outcomes(self) -> dict[str, Outcome]:
        """Return the outcomes that are there, by the names of their jobs. What is none is passed over."""
        found = {}
        for file, content in self._outcomes.read_all().items():
            name = file.removesuffix(".json")
            if name != file and (outcome := _understood(content)):
                found[name] = outcome
        return found

    def outcome(self, name: str) -> Outcome | None:
        """Return what became of the job of this name, if that is there."""
        return _understood(self._outcomes.read(f"{name}.json") or b"")

    def write(self, outcome: Outcome) -> None:
        """Write what became of a job."""
        self._outcomes.write(f"{outcome.job.name}.json", outcome.model_dump_json().encode())

    def fill(self, job: Job, export: Callable[[Path], Manifest]) -> Manifest:
        """Have an artifact exported to its place; `export` is given a folder to write.

        Raises:
            NeuronCatalogError: as `export` does, and if the store refuses.
        """
        if not is_url(self.place):
            return export(Path(self.place) / job.name)
        with tempfile.TemporaryDirectory(prefix="neuron-catalog-") as folder:
            manifest = export(Path(folder) / "out")
            upload_artifact(Path(folder) / "out", self.of(job), overwrite=True)
        return manifest


def _understood(content: bytes) -> Outcome | None:
    try:
        return Outcome.model_validate_json(content)
    except pydantic.ValidationError:  # of another version
        return None
