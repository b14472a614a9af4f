"""Where a whole pipeline comes from: a checkpoint, or the tiny version that the catalog describes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

from neuron_catalog.errors import RequestError
from neuron_catalog.models.adapter_weights import AdapterWeights
from neuron_catalog.models.assembly import INDEX_NAME, read_index
from neuron_catalog.models.components import (
    VARIANTS,
    ComponentSource,
    PartSource,
    TinyComponentSource,
    class_of,
    weight_patterns,
)
from neuron_catalog.models.sources import CheckpointSource, require_folder_or_id
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
        require_folder_or_id(self.model)
        return self.fetched(DESCRIPTIONS)

    @cached_property
    def index(self) -> dict[str, Any]:
        """What it says about its parts."""
        return read_index(self.folder)

    @property
    def commit(self) -> str | None:
        return self._commit_of(self.folder)

    def _commit_of(self, folder: Path) -> str | None:
        """Return the revision by which a folder of the cache is named."""
        return None if Path(self.model).is_dir() else folder.name

    def lacks(self, name: str, part: Part) -> bool:
        said = self.index.get(source_of(name, part))
        return name not in self.others and not (isinstance(said, list) and all(said))

    def part(self, name: str, part: Part, component: Component) -> ComponentSource:
        if name in self.others:
            place, title = "", self.others[name]
            require_folder_or_id(title)
            origin = replace(self, model=title, revision=None)
            described = origin.fetched(("config.json",))
        else:
            place = source_of(name, part)
            origin, title, described = self, f"{self.model}/{place}", self.folder
        pinned = replace(origin, revision=origin._commit_of(described))  # the branch may move meanwhile
        return ComponentSource(
            component=component,
            part=name,
            folder=described / place,
            title=title,
            revision=pinned.revision,
            adapters=self.adapters,
            fetch=partial(pinned.fetch_weights, place),
        )

    def fetch_weights(self, place: str) -> None:
        """Download the weights in a folder of the repository; those in half precision if it has no others.

        Raises:
            RequestError: if the hub cannot be reached.
        """
        for variant in VARIANTS:
            if any((self.fetched(_weights_in(place, variant)) / place).glob("*.safetensors")):
                return

    def write_rest(self, folder: Path) -> None:
        shutil.copyfile(self.folder / INDEX_NAME, folder / INDEX_NAME)
        for place in sorted(self.folder.iterdir()):  # not by the names in the index, which could lead out
            described = isinstance(self.index.get(place.name), list)
            if described and place.is_dir() and not (place / "config.json").is_file():
                shutil.copytree(place, folder / place.name)


def _weights_in(folder: str, variant: str) -> tuple[str, ...]:
    """Return patterns for the weights of a variant in a folder, and for what says how they are divided."""
    start = f"{folder}/" if folder else ""
    ends = weight_patterns(variant)
    return tuple(f"{start}{end}" for end in (*ends, "*.safetensors.index*.json"))


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
