"""The catalog: what its documents say about tasks, inputs, sizes and evidence, asked for by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_catalog.catalog.checks import check_architecture, check_component, check_tasks
from neuron_catalog.catalog.family_checks import check_family
from neuron_catalog.catalog.folders import catalog_folders, files_in
from neuron_catalog.catalog.loader import kind_of, load
from neuron_catalog.catalog.names import Surroundings, named_after
from neuron_catalog.catalog.pipeline_checks import check_pipeline
from neuron_catalog.catalog.selection import axes_in_use, selected_inputs
from neuron_catalog.catalog.shelf import raise_if_any
from neuron_catalog.catalog.shelves import Shelves
from neuron_catalog.catalog.tiers import Tier, highest
from neuron_catalog.errors import CatalogError, Finding, RequestError, nearest
from neuron_catalog.schema.components import NO_TASK, Component, Pipeline, Selection
from neuron_catalog.schema.documents import Architecture, Family, NormalizedConfigsFile, TasksFile
from neuron_catalog.schema.words import Library

if TYPE_CHECKING:
    from neuron_catalog.catalog.evidence import Evidence


class Catalog(Shelves):
    """All documents by name, and what follows from them. Build one with `load_catalog`."""

    def serving(self, library: Library, model_type: str) -> str:
        """Return the name of the architecture that serves a model type of a library, if there is one.

        In transformers that is the model type. In another library it is `<library>-<model type>` if the
        catalog has it, and otherwise `<library>`, which serves every model type.
        """
        if library == "transformers":
            return model_type
        prefix = named_after(library)
        special = f"{prefix}-{model_type}"
        return special if special in self._architectures else prefix

    def task_name(self, word: str) -> str:
        """Return the task that `word` names or is a synonym of.

        Raises:
            RequestError: if there is none.
        """
        if word in self.tasks:
            return word
        for name, task in self.tasks.items():
            if word in task.synonyms:
                return name
        raise RequestError(
            f"There is no task {word!r}; {nearest(word, [*self.tasks, *self.pipelines])}",
            "`neuron-catalog list-tasks` shows all tasks.",
        )

    def supported_tasks(self, name: str) -> tuple[str, ...]:
        """Return the tasks that an architecture can be exported for."""
        return tuple(self.get(name).tasks)

    def inputs(self, name: str, task: str) -> tuple[str, ...]:
        """Return the inputs of an architecture for a task, those with a condition included.

        Raises:
            RequestError: if the architecture does not support the task.
        """
        architecture = self.get(name)
        return selected_inputs(
            architecture, self.families[architecture.family], self.supported_task(name, task)
        )

    def mandatory_axes(self, name: str, task: str) -> tuple[str, ...]:
        """Return the axes that must be given to export an architecture for a task.

        Raises:
            RequestError: if the architecture does not support the task.
        """
        task = self.supported_task(name, task)
        architecture = self.get(name)
        family = self.families[architecture.family]
        used = set(self.axes(name, task)) - {n for n, axis in family.axes.items() if task in axis.default_for}
        return tuple(axis for axis in architecture.mandatory_axes if axis in used)

    def axes(self, name: str, task: str) -> tuple[str, ...]:
        """Return all axes that an architecture has in a task, those with a default included.

        Raises:
            RequestError: if the architecture does not support the task.
        """
        architecture = self.get(name)
        task = self.supported_task(name, task)
        family = self.families[architecture.family]
        aliases = self.normalized_configs[architecture.normalized_config]
        used = axes_in_use(architecture, family, aliases, task)
        return tuple(axis for axis in family.axes if axis in used)

    def supported_task(self, name: str, word: str) -> str:
        """Return the task that `word` means, if the architecture supports it.

        Raises:
            RequestError: if there is no such task, or not for this architecture.
        """
        task = self.task_name(word)
        supported = self.supported_tasks(name)
        if task not in supported:
            raise RequestError(
                f"{name} has no task {task!r}; it supports: {', '.join(supported)}.",
                f"`neuron-catalog list-tasks {name}` shows what each task returns.",
            )
        return task

    def model_class(self, name: str, task: str) -> str:
        """Return the name of the transformers class that builds an architecture's model for a task."""
        return self.get(name).model_classes.get(task) or self.tasks[task].auto_class

    def rows(self, name: str) -> tuple[str, ...]:
        """Return what is tested of a name: an architecture's tasks, a pipeline's uses, a component as such.

        Raises:
            RequestError: if the catalog has nothing of this name.
        """
        if name in self.pipelines:
            return tuple(self.pipelines[name].uses)
        return (NO_TASK,) if name in self.components else self.supported_tasks(name)

    def selection(self, name: str) -> Selection:
        """Return an architecture or a component.

        Raises:
            RequestError: if the catalog has neither of this name.
        """
        return self.components[name] if name in self.components else self.get(name)

    def definition(self, name: str) -> str:
        """Return the digest of all that the catalog says about an architecture, component or pipeline."""
        from neuron_catalog.catalog.evidence import definition_digest, pipeline_digest

        if name in self.pipelines:
            pipeline = self.pipelines[name]
            aliases = self.normalized_configs[pipeline.normalized_config]
            used = sorted({part.component for part in pipeline.parts.values()})
            return pipeline_digest(pipeline, aliases, {each: self.definition(each) for each in used})
        selection = self.selection(name)
        family = self.families[selection.family]
        aliases = self.normalized_configs[selection.normalized_config]
        return definition_digest(selection, family, aliases, self.tasks)

    def evidence_file(self, name: str) -> Path:
        """Return where the recorded runs of an architecture lie: in the catalog that defines it."""
        return self.file_of(name).parents[1] / "evidence" / f"{name}.jsonl"

    def evidence(self, name: str) -> tuple[Evidence, ...]:
        """Return the recorded runs of an architecture as it is defined now.

        Raises:
            CatalogError: if the file of recorded runs cannot be read.
        """
        from neuron_catalog.catalog.evidence import read_evidence

        definition = self.definition(name)
        runs = read_evidence(self.evidence_file(name))
        return tuple(run for run in runs if run.definition == definition)

    def tiers(self, name: str) -> dict[str, Tier]:
        """Return task → how far its support is proved."""
        runs = self.evidence(name)
        return {task: highest(r.tier for r in runs if r.task == task) for task in self.rows(name)}

    def files(self) -> tuple[Path, ...]:
        """Return every catalog file of every folder, hidden ones included."""
        return tuple(folder / name for folder in self.folders for name in files_in(folder))

    def check(self, files: Iterable[Path] = ()) -> tuple[Finding, ...]:
        """Return everything wrong in `files`, or in all files of the catalog."""
        findings: dict[Finding, None] = {}
        for path in tuple(files) or self.files():
            try:
                self._check_file(path)
            except CatalogError as error:
                findings.update(dict.fromkeys(error.findings))
        return tuple(sorted(findings))

    def _check_file(self, path: Path) -> None:
        kind = kind_of(path)
        if kind == "architecture":
            raise_if_any(check_architecture(load(path, Architecture), self._surroundings))
        elif kind == "family":
            around = Surroundings(self.tasks, {}, self.normalized_configs)
            raise_if_any(check_family(load(path, Family), around))
        elif kind == "component":
            raise_if_any(check_component(load(path, Component), self._surroundings))
        elif kind == "pipeline":
            raise_if_any(check_pipeline(load(path, Pipeline), self._surroundings))
        elif kind == "tasks":
            raise_if_any(check_tasks(load(path, TasksFile)))
        else:
            load(path, NormalizedConfigsFile)


def load_catalog(folders: Iterable[str | Path] = ()) -> Catalog:
    """Open the catalog: `folders` first, then those of NEURON_CATALOG_PATH, then the shipped one.

    Raises:
        RequestError: if one of the folders does not exist.
    """
    return Catalog(catalog_folders(folders))


def supported_tasks(architecture: str) -> tuple[str, ...]:
    """Return the tasks that an architecture of the default catalog can be exported for.

    Raises:
        RequestError: if the catalog has no such architecture.
    """
    return load_catalog().supported_tasks(architecture)


def mandatory_axes(architecture: str, task: str) -> tuple[str, ...]:
    """Return the axes that must be given to export an architecture of the default catalog for a task.

    Raises:
        RequestError: if the catalog has no such architecture, or not for this task.
    """
    return load_catalog().mandatory_axes(architecture, task)
