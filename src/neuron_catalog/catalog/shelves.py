"""The documents of a catalog by name, from one or more folders.

Folders in front win: a name defined there hides the same name further back, as a whole. Files are read
when they are asked for, so one broken file does not keep the others from being used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from neuron_catalog.catalog.checks import check_architecture, check_component, check_tasks
from neuron_catalog.catalog.family_checks import check_family
from neuron_catalog.catalog.folders import front_most, require_folders
from neuron_catalog.catalog.loader import Entry, load
from neuron_catalog.catalog.names import Surroundings
from neuron_catalog.catalog.pipeline_checks import check_pipeline
from neuron_catalog.catalog.shelf import Shelf, raise_if_any
from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.schema.components import Component, Pipeline
from neuron_catalog.schema.documents import Architecture, Family, NormalizedConfigsFile, Task, TasksFile
from neuron_catalog.schema.words import Strict

D = TypeVar("D", bound=Strict)


class Shelves:
    """All documents by name: what a catalog says, and no more."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)
        require_folders(self.folders)

    @cached_property
    def _architectures(self) -> Shelf[Architecture]:
        files = self._named_files("architectures")
        return Shelf(files, Architecture, lambda entry: check_architecture(entry, self._surroundings))

    def _named_files(self, kind: str) -> dict[str, Path]:
        """Return name → its file; the front-most folder wins."""
        found = front_most(self.folders, kind)
        return {name: self.folders[position] / kind / f"{name}.yaml" for name, position in found.items()}

    def _top_level(self, name: str, model: type[D]) -> Iterator[Entry[D]]:
        """Yield the files called `name`, back-most folder first."""
        for folder in reversed(self.folders):
            if (folder / name).is_file():
                yield load(folder / name, model)

    @property
    def is_editable(self) -> bool:
        """Whether the front-most folder is a user's own or a checkout's, and not an installed package's."""
        return self.folders[0] != Path(__file__).resolve().parents[1] / "_catalog"

    @property
    def architectures(self) -> tuple[str, ...]:
        """The names of all architectures, sorted."""
        return tuple(self._architectures)

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """Task name → task."""
        merged: dict[str, Task] = {}
        for entry in self._top_level("tasks.yaml", TasksFile):
            raise_if_any(check_tasks(entry))
            merged |= entry.document.tasks
        return merged

    @cached_property
    def normalized_configs(self) -> Mapping[str, Mapping[str, str]]:
        """Name of the alias set → canonical name → path in the Hugging Face config."""
        merged: dict[str, Mapping[str, str]] = {}
        for entry in self._top_level("normalized_configs.yaml", NormalizedConfigsFile):
            merged |= entry.document.normalized_configs
        return merged

    @cached_property
    def families(self) -> Shelf[Family]:
        """Family name → family."""
        around = Surroundings(self.tasks, {}, self.normalized_configs)
        return Shelf(self._named_files("families"), Family, lambda entry: check_family(entry, around))

    @cached_property
    def components(self) -> Shelf[Component]:
        """Component name → component."""
        files = self._named_files("components")
        return Shelf(files, Component, lambda entry: check_component(entry, self._surroundings))

    @cached_property
    def pipelines(self) -> Shelf[Pipeline]:
        """Pipeline name → pipeline."""
        files = self._named_files("pipelines")
        return Shelf(files, Pipeline, lambda entry: check_pipeline(entry, self._surroundings))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all architectures, components and pipelines: of everything that can be tested."""
        return (*self.architectures, *self.components, *self.pipelines)

    def file_of(self, name: str) -> Path:
        """Return the file that defines an architecture, a component or a pipeline.

        Raises:
            RequestError: if the catalog has nothing of this name.
        """
        for shelf in (self._architectures, self.components, self.pipelines):
            if name in shelf:
                return shelf.files[name]
        raise RequestError(
            f"The catalog has no architecture {name!r}; {nearest(name, self.names)}",
            "`neuron-catalog list` shows all; CONTRIBUTING.md shows how one YAML file adds another.",
        )

    def get(self, name: str) -> Architecture:
        """Return an architecture, read and checked.

        Raises:
            RequestError: if the catalog has no such architecture.
            CatalogError: if its file, or one that it refers to, is wrong.
        """
        if name in self._architectures:
            return self._architectures[name]
        self.file_of(name)
        kind = "component" if name in self.components else "pipeline"
        raise RequestError(
            f"{name} is a {kind}, and no architecture: it has no tasks.",
            f"`neuron-catalog show {name}` shows what it is for.",
        )

    @property
    def _surroundings(self) -> Surroundings:
        return Surroundings(
            self.tasks, self.families, self.normalized_configs, self.components, tuple(self.pipelines)
        )
