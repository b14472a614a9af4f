"""What the listing commands ask of a whole catalog, answered from the cache where the files are as they were.

Only what is right is remembered: an answer that raises, and a file with findings, is worked out each time,
by `Catalog`. So a warm command says what a cold one does, and needs neither pydantic nor a YAML parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from neuron_catalog.catalog.cache import AnswerCache, cache_file, reading_code
from neuron_catalog.catalog.folders import front_most, require_folders
from neuron_catalog.catalog.snapshot import CatalogFile, Snapshot
from neuron_catalog.catalog.tiers import Tier
from neuron_catalog.errors import CatalogError, Finding

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog

NO_TASK = ""
"""What tiers of a component stand under; the schema says so too, but reading it takes pydantic."""


class TaskOutline(TypedDict):
    """What an architecture returns in a task, and the axes that must be given for it."""

    outputs: list[str]
    mandatory_axes: list[str]


class Outline(TypedDict):
    """An architecture in short."""

    family: str
    summary: str
    tasks: dict[str, TaskOutline]


class ComponentOutline(TypedDict):
    """A component in short."""

    family: str
    summary: str
    tier: Tier


class PipelineOutline(TypedDict):
    """A pipeline in short: its parts with their components, and its uses with class and tier."""

    summary: str
    mandatory_axes: list[str]
    parts: dict[str, str]
    uses: dict[str, tuple[str, Tier]]


class Compositions(TypedDict):
    """All components and pipelines in short."""

    components: dict[str, ComponentOutline]
    pipelines: dict[str, PipelineOutline]


class Overview:
    """The whole catalog in short. All answers are plain data, as JSON knows it."""

    def __init__(self, folders: Sequence[Path]) -> None:
        require_folders(folders)
        self._now = Snapshot(folders)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The names of all architectures, sorted."""
        return tuple(self._now.architectures)

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of all pipelines, sorted."""
        return tuple(front_most(self._now.folders, "pipelines"))

    @property
    def files(self) -> tuple[Path, ...]:
        """Every catalog file of every folder, hidden ones included."""
        return tuple(map(self._now.path, self._now.files))

    def tasks(self) -> dict[str, dict[str, Any]]:
        """Return task name → all that the catalog says about it.

        Raises:
            CatalogError: if a file of tasks is wrong.
        """
        with _Answers(self._now, "tasks") as answers:
            found: dict[str, dict[str, Any]] = answers.to((), self._read_tasks)
        return found

    def outlines(self, names: Iterable[str]) -> dict[str, Outline]:
        """Return architecture name → the architecture in short.

        Raises:
            RequestError: if the catalog has no such architecture.
            CatalogError: if its file, or one that it refers to, is wrong.
        """
        found: dict[str, Outline] = {}
        with _Answers(self._now, "outlines") as answers:
            for name in names:
                if name not in self._now.architectures:
                    self._catalog.get(name)  # raises, and says what the name may have meant
                file = self._now.architectures[name]
                found[name] = answers.to((file,), partial(self._read_outline, name))
        return found

    def tiers(self) -> dict[str, dict[str, Tier]]:
        """Return architecture name → task → how far its support is proved.

        Raises:
            CatalogError: if a file, or one of recorded runs, is wrong.
        """
        found: dict[str, dict[str, Tier]] = {}
        with _Answers(self._now, "tiers") as answers:
            for name, file in self._now.architectures.items():
                files = (file, self._now.evidence_of(name))
                found[name] = answers.to(files, partial(self._read_tiers, name))
        return found

    def compositions(self) -> Compositions:
        """Return all components and pipelines in short.

        Raises:
            CatalogError: if a file of them, or one of recorded runs, is wrong.
        """
        with _Answers(self._now, "compositions") as answers:
            files = tuple(self._now.composed.values())
            found: Compositions = answers.to(files, self._read_compositions)
        return found

    def check(self) -> tuple[Finding, ...]:
        """Return everything wrong in any file of the catalog, as `Catalog.check` does."""
        findings: dict[Finding, None] = {}
        with _Answers(self._now, "checked") as answers:
            for file in self._now.files:
                try:
                    answers.to((file,), partial(self._require_right, file))
                except CatalogError as error:
                    findings.update(dict.fromkeys(error.findings))
        return tuple(sorted(findings))

    @cached_property
    def _catalog(self) -> Catalog:
        from neuron_catalog.catalog.index import (
            Catalog,
        )  # with pydantic and the parser: 10 times Python's start

        return Catalog(self._now.folders)

    def _read_tasks(self) -> dict[str, dict[str, Any]]:
        return {name: task.model_dump(mode="json") for name, task in self._catalog.tasks.items()}

    def _read_outline(self, name: str) -> Outline:
        said = self._catalog.get(name)
        tasks: dict[str, TaskOutline] = {
            task: {"outputs": list(outputs), "mandatory_axes": list(self._catalog.mandatory_axes(name, task))}
            for task, outputs in said.tasks.items()
        }
        return {"family": said.family, "summary": said.summary, "tasks": tasks}

    def _read_tiers(self, name: str) -> dict[str, Tier]:
        return self._catalog.tiers(name)

    def _read_compositions(self) -> Compositions:
        catalog = self._catalog
        components: dict[str, ComponentOutline] = {
            name: {"family": each.family, "summary": each.summary, "tier": catalog.tiers(name)[NO_TASK]}
            for name, each in catalog.components.items()
        }
        pipelines: dict[str, PipelineOutline] = {}
        for name, pipeline in catalog.pipelines.items():
            tiers = catalog.tiers(name)
            pipelines[name] = {
                "summary": pipeline.summary,
                "mandatory_axes": [n for n, axis in pipeline.axes.items() if axis.default is None],
                "parts": {part: told.component for part, told in pipeline.parts.items()},
                "uses": {use: (told.runtime_class, tiers[use]) for use, told in pipeline.uses.items()},
            }
        return {"components": components, "pipelines": pipelines}

    def _require_right(self, file: CatalogFile) -> Literal[True]:
        if findings := self._catalog.check([self._now.path(file)]):
            raise CatalogError(findings)
        return True


class _Answers:
    """Answers of one kind. Those that had to be worked out are kept when the block ends."""

    def __init__(self, now: Snapshot, kind: str) -> None:
        self._now = now
        self._new: dict[str, tuple[tuple[CatalogFile, ...], str, Any]] = {}
        path = cache_file(now.folders, kind)
        try:
            self._cache = AnswerCache(path, reading_code() + now.shared) if path else None
        except OSError:
            self._cache = None

    def __enter__(self) -> _Answers:
        return self

    def to(self, files: tuple[CatalogFile, ...], work_out: Callable[[], Any]) -> Any:
        """Return the answer about `files`: a known one if they are as they were."""
        if self._cache is None:
            return work_out()
        try:
            digest = self._now.digest(*files)
        except OSError:
            return work_out()
        question = " ".join(map(str, files))
        answer = self._cache.get(question, digest)
        if answer is None:
            answer = work_out()
            self._new[question] = files, digest, answer
        return answer

    def __exit__(self, *_: object) -> None:
        """Keep what is new, unless its files were changed while they were read."""
        if self._cache is None or not self._new:
            return
        again = Snapshot(self._now.folders)
        try:
            if again.shared == self._now.shared:
                new = {
                    q: (digest, a) for q, (f, digest, a) in self._new.items() if again.digest(*f) == digest
                }
                self._cache.add(new)
        except OSError:
            return
