"""What lies beside the parts of an exported pipeline: its sizes, its parts, and the digest of each file.

Each part is an artifact of its own, a folder with a manifest; this one says how they belong together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from neuron_catalog.digests import FileName, FilePath, FileRecord, alteration
from neuron_catalog.errors import RequestError
from neuron_catalog.inventory import MANIFEST_NAME, Inventory, said_in
from neuron_catalog.manifest import Manifest
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


class Composition(Inventory):
    """The content of `neuron_catalog.json` of a pipeline."""

    pipeline: str
    uses: dict[str, str]
    """How the parts can be used → the class that runs them so."""
    axes: dict[str, int]
    parts: dict[FileName, PartRecord]
    """In the order of the export."""
    source: PipelineSourceRecord
    seed: int
    files: dict[FilePath, FileRecord]
    """All other files, by their path in the folder."""

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
        return cls.parsed(folder / MANIFEST_NAME)

    def altered_files(self, folder: Path) -> tuple[str, ...]:
        """Return a sentence for each file, of a part too, whose content is not what was exported."""
        own = [alteration(folder / name, recorded, name, folder) for name, recorded in self.files.items()]
        found = [sentence for sentence in own if sentence]
        for name, part in self.parts.items():
            if sentence := alteration(folder / name / MANIFEST_NAME, part.manifest, root=folder):
                found.append(f"{name}: {sentence}")
            else:
                inner = Manifest.read(folder / name).altered_files(folder / name, folder)
                found += [f"{name}: {each}" for each in inner]
        return tuple(found)

    def all_files(self, folder: Path) -> dict[str, FileRecord]:
        """Return every file by its path, those of the parts included."""
        found = dict(self.files)
        for name, part in self.parts.items():
            found[f"{name}/{MANIFEST_NAME}"] = part.manifest
            found |= {f"{name}/{file}": each for file, each in Manifest.read(folder / name).files.items()}
        return found


def is_composition(folder: Path) -> bool:
    """Whether a folder is an exported pipeline."""
    return "pipeline" in said_in(folder)


def intact_files(folder: Path) -> dict[str, FileRecord]:
    """Hold every file of an artifact, or of a whole pipeline, to its digest, and return them by path.

    Raises:
        RequestError: if there is none, or one that this version cannot read.
        VerificationError: if a file was altered.
    """
    if is_composition(folder):
        composition = Composition.read(folder)
        composition.require_intact(folder)
        return composition.all_files(folder)
    manifest = Manifest.read(folder)
    manifest.require_intact(folder)
    return dict(manifest.files)
