"""What lies beside the parts of an exported pipeline: its sizes, its parts, and the digest of each file.

Each part is an artifact of its own, a folder with a manifest; this one says how they belong together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pydantic

from neuron_catalog.digests import FileRecord, alteration
from neuron_catalog.errors import RequestError, VerificationError
from neuron_catalog.manifest import MANIFEST_NAME, Manifest
from neuron_catalog.parts import Record


class PartRecord(Record):
    """One part of a pipeline: a folder by its name."""

    component: str
    source: str
    """What pipelines of diffusers call it: an encoder and a decoder are both of the `vae`."""
    manifest: FileRecord
    """Digest of the part's own manifest, which has those of its files."""


class AdapterRecord(Record):
    """A LoRA adapter that was merged into the weights."""

    name: str
    model: str
    weight_name: str | None = None
    scale: float
    sha256: str


class PipelineSourceRecord(Record):
    """Where the parts came from. `tiny` are seeded random weights, not a checkpoint."""

    kind: Literal["tiny", "checkpoint"]
    model: str
    revision: str | None = None
    others: dict[str, str] = {}
    """Part → the folder or repository that it was read from instead."""
    adapters: tuple[AdapterRecord, ...] = ()


class Composition(Record):
    """The content of `neuron_catalog.json` of a pipeline."""

    format: Literal[1] = 1
    neuron_catalog: str
    """Version of this package."""
    pipeline: str
    uses: dict[str, str]
    """How the parts can be used → the class that runs them so."""
    axes: dict[str, int]
    parts: dict[str, PartRecord]
    """In the order of the export."""
    source: PipelineSourceRecord
    seed: int
    files: dict[str, FileRecord]
    """All other files, by their path in the folder."""

    def write(self, folder: Path) -> None:
        """Write it into `folder`."""
        (folder / MANIFEST_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Composition:
        """Read what an exported pipeline says of itself.

        Raises:
            RequestError: if `folder` holds none, or one that this version cannot read.
        """
        if not is_composition(folder):
            if (folder / MANIFEST_NAME).is_file():
                plan = Manifest.read(folder).plan
                what = " for ".join(filter(None, (plan.architecture, plan.task)))
                raise RequestError(
                    f"{folder} is one model, {what}, not a whole pipeline.",
                    f"Load it with {plan.runtime_class or 'load_artifact'}.",
                )
            raise RequestError(
                f"{folder} is no exported pipeline: it has no {MANIFEST_NAME} of one.",
                "Give the folder that `neuron-catalog export --task stable-diffusion` wrote, or the like.",
            )
        try:
            return cls.model_validate_json((folder / MANIFEST_NAME).read_bytes())
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise RequestError(
                f"{folder / MANIFEST_NAME} cannot be read: {place}: {first['msg']}.",
                "Export again, or use the version of neuron-catalog that wrote it.",
            ) from None

    def altered_files(self, folder: Path) -> tuple[str, ...]:
        """Return a sentence for each file, of a part too, whose content is not what was exported."""
        own = [alteration(folder / name, recorded, name) for name, recorded in self.files.items()]
        found = [sentence for sentence in own if sentence]
        for name, part in self.parts.items():
            if sentence := alteration(folder / name / MANIFEST_NAME, part.manifest):
                found.append(f"{name}: {sentence}")
            else:
                inner = Manifest.read(folder / name).altered_files(folder / name)
                found += [f"{name}: {each}" for each in inner]
        return tuple(found)

    def all_files(self, folder: Path) -> dict[str, FileRecord]:
        """Return every file by its path, those of the parts included."""
        found = dict(self.files)
        for name, part in self.parts.items():
            found[f"{name}/{MANIFEST_NAME}"] = part.manifest
            found |= {f"{name}/{file}": each for file, each in Manifest.read(folder / name).files.items()}
        return found

    def require_intact(self, folder: Path) -> None:
        """Hold every file to its digest.

        Raises:
            VerificationError: naming the files that were altered.
        """
        altered = self.altered_files(folder)
        if altered:
            raise VerificationError(
                f"The artifact {folder} was altered after it was exported: {'; '.join(altered)}.",
                "Do not use it; copy it again or export again.",
            )


def is_composition(folder: Path) -> bool:
    """Whether a folder is an exported pipeline."""
    try:
        said = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and "pipeline" in said
