"""Where a whole pipeline comes from: a checkpoint, or the tiny version that the catalog describes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

from neuron_catalog.errors import RequestError
from neuron_catalog.models.adapter_weights import AdapterWeights
from neuron_catalog.models.assembly import INDEX_NAME, read_index
from neuron_catalog.models.components import (
    WEIGHTS,
    ComponentSource,
    PartSource,
    TinyComponentSource,
    class_of,
)
from neuron_catalog.models.sources import CheckpointSource
from neuron_catalog.models.tiny import plain
from neuron_catalog.models.tokenizers import tiny_tokenizer
from neuron_catalog.schema.components import Component, Part, Pipeline

DESCRIPTIONS = (INDEX_NAME, "*/*.json", "*/*.txt", "*/*.model")
"""What is needed of a checkpoint besides weights."""


class PipelineSource(Protocol):
    """What the exporter asks of a pipeline's source."""

    @property
    def kind(self) -> Literal["tiny", "checkpoint"]:
        """What the weights are."""

    @property
    def name(self) -> str:
        """What to call the source in records."""

    @property
    def commit(self) -> str | None:
        """The exact revision of a repository of the hub."""

    def lacks(self, name: str, part: Part) -> bool:
        """Tell whether there is no such part."""

    def part(self, name: str, part: Part, component: Component) -> PartSource:
        """Return the source of one part."""

    def write_rest(self, folder: Path) -> None:
        """Write all that is no part: the index, tokenizers, schedulers, feature extractors."""


def source_of(name: str, part: Part) -> str:
    """Return the folder of a checkpoint that a part is read from."""
    return part.source or name


@dataclass(frozen=True, kw_only=True)
class TinyPipelineSource:
    """A pipeline of tiny components with seeded random weights."""

    pipeline: Pipeline
    seed: int
    kind: Literal["tiny"] = "tiny"
    commit: None = None

    @property
    def name(self) -> str:
        return f"tiny {self.pipeline.pipeline}"

    def lacks(self, name: str, part: Part) -> bool:
        """It has all parts."""
        del name, part
        return False

    def part(self, name: str, part: Part, component: Component) -> TinyComponentSource:
        given = self.pipeline.tiny.configs.get(source_of(name, part))
        return TinyComponentSource.of(component, self.seed, given)

    def write_rest(self, folder: Path) -> None:
        tiny = self.pipeline.tiny
        index: dict[str, Any] = {
            "_class_name": next(iter(self.pipeline.uses.values())).pipeline_class,
            "_diffusers_version": metadata.version("diffusers"),
            **plain(tiny.settings),
        }
        for name, said in tiny.tokenizers.items():
            tokenizer = tiny_tokenizer(said.form, said.model_max_length, said.pad_token)
            tokenizer.save_pretrained(folder / name)
            index[name] = ["transformers", type(tokenizer).__name__]
        scheduler = class_of("diffusers", tiny.scheduler.scheduler_class, self.name)
        scheduler(**plain(tiny.scheduler.config)).save_pretrained(folder / "scheduler")
        index["scheduler"] = ["diffusers", tiny.scheduler.scheduler_class]
        (folder / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class CheckpointPipelineSource(CheckpointSource):
    """A folder that `save_pretrained` of a pipeline wrote, or a repository of the hub."""

    others: Mapping[str, str] = field(default_factory=dict)
    """Part → a folder or repository that it is read from instead."""
    adapters: tuple[AdapterWeights, ...] = ()

    @cached_property
    def folder(self) -> Path:
        """Where the checkpoint lies, with everything but weights."""
        return self.fetched(DESCRIPTIONS)

    @cached_property
    def index(self) -> dict[str, Any]:
        """What it says about its parts."""
        return read_index(self.folder)

    @property
    def commit(self) -> str | None:
        return None if Path(self.model).is_dir() else self.folder.name

    def lacks(self, name: str, part: Part) -> bool:
        said = self.index.get(source_of(name, part))
        return name not in self.others and not (isinstance(said, list) and all(said))

    def part(self, name: str, part: Part, component: Component) -> ComponentSource:
        place = source_of(name, part)
        if name in self.others:
            other = replace(self, model=self.others[name], revision=None)
            folder, title = other.fetched(_files_in("")), other.model
        else:
            folder, title = self.fetched(_files_in(place)) / place, f"{self.model}/{place}"
        return ComponentSource(
            component=component,
            part=name,
            folder=folder,
            title=title,
            revision=None if name in self.others else self.commit,
            adapters=self.adapters,
        )

    def write_rest(self, folder: Path) -> None:
        shutil.copyfile(self.folder / INDEX_NAME, folder / INDEX_NAME)
        for name, said in self.index.items():
            place = self.folder / name
            if isinstance(said, list) and place.is_dir() and not (place / "config.json").is_file():
                shutil.copytree(place, folder / name)


def _files_in(folder: str) -> tuple[str, ...]:
    """Return patterns for the config and the plain weights in a folder."""
    start = f"{folder}/" if folder else ""
    ends = (
        "config.json",
        *(f"{stem}{end}" for stem in WEIGHTS for end in (".safetensors", "-*-of-*.safetensors")),
    )
    return tuple(f"{start}{end}" for end in (*ends, "*.safetensors.index.json"))


def require_part(source: PipelineSource, name: str, part: Part) -> bool:
    """Tell whether a part is to be exported.

    Raises:
        RequestError: if the checkpoint lacks one that it must have.
    """
    if not source.lacks(name, part):
        return True
    if part.optional:
        return False
    raise RequestError(
        f"{source.name} has no {source_of(name, part)}, which this pipeline is made of.",
        "Copy the checkpoint again, or export it as another pipeline.",
    )
