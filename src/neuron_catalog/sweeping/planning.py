"""Turn a sweep into jobs. What cannot be planned is told with its line, and the rest is planned."""

from __future__ import annotations

import glob
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.loader import load
from neuron_catalog.catalog.source import YamlFile
from neuron_catalog.errors import CatalogError, NeuronCatalogError, RequestError, nearest
from neuron_catalog.schema.sweeps import Buckets, Exclusion, Sweep
from neuron_catalog.storage.stores import is_url
from neuron_catalog.sweeping.jobs import Job, name_of

Axes = dict[str, int | tuple[int, ...]]
Options = dict[str, JsonValue]


@dataclass(frozen=True)
class Problem:
    """Something in a sweep that cannot be exported."""

    file: Path
    line: int
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.cause} {self.remedy}"


@dataclass(frozen=True)
class Planned:
    """What a sweep comes to."""

    sweep: Sweep
    place: str
    """The destination; a folder from the root."""
    jobs: tuple[Job, ...]
    problems: tuple[Problem, ...]
    excluded: int
    """Jobs that `exclude` left out."""


@dataclass(frozen=True)
class Subject:
    """One model of a sweep, and what it can be exported for."""

    label: str
    """As it stands under `models`, or the folder that a glob found."""
    architecture: str
    model: str | None
    tasks: tuple[str, ...]


def read_plan(path: Path, catalog: Catalog) -> Planned:
    """Read a sweep and plan its jobs, in the order of models, tasks, backends and sizes.

    Raises:
        CatalogError: if the file is not as its schema says; every finding is told.
        RequestError: if a backend does not exist or cannot do what is asked of it, or an axis is no model's.
    """
    try:
        entry = load(path, Sweep)
    except CatalogError as error:
        raise CatalogError(error.findings, "the sweep") from None
    return _Planning(entry.document, entry.source, catalog).planned()


@dataclass(frozen=True)
class _Planning:
    sweep: Sweep
    source: YamlFile
    catalog: Catalog

    def planned(self) -> Planned:
        backends = self._backends()
        problems: list[Problem] = []
        found: list[tuple[str, Job]] = []
        for subject in self._subjects(problems):
            for task, (backend, options) in itertools.product(subject.tasks, backends):
                found += [(subject.label, job) for job in self._jobs(subject, task, backend, options)]
        self._require_axes_in_use(job for _, job in found)
        kept = [job for label, job in found if not self._is_excluded(label, job)]
        return Planned(
            self.sweep, self._place(), tuple(_told_apart(kept)), tuple(problems), len(found) - len(kept)
        )

    def _place(self) -> str:
        """Return the destination; paths begin at the folder of the sweep."""
        to = self.sweep.destination
        return to if is_url(to) else str(self.source.path.absolute().parent / Path(to).expanduser())

    def _backends(self) -> list[tuple[str, Options]]:
        """Return the backends, each with those of the compiler's options that it can do."""
        from neuron_catalog.exporting import backends

        options = _compiler(self.sweep)
        chosen = dict(map(backends.choose, self.sweep.backends or [None]))
        refusals = {
            option: {name: backend.unsupported(option, value) for name, backend in chosen.items()}
            for option, value in options.items()
        }
        for option, reasons in refusals.items():
            if all(reasons.values()):
                told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
                raise RequestError(
                    f"No backend of this sweep can do {option}={options[option]}: {told}.", "Take it out."
                )
        return [
            (name, {each: value for each, value in options.items() if not refusals[each][name]})
            for name in chosen
        ]

    def _subjects(self, problems: list[Problem]) -> Iterator[Subject]:
        seen = set()
        for number, word in enumerate(self.sweep.models):
            line = self.source.marks[("models", number)].line
            try:
                labels = self._found(word)
            except RequestError as error:
                problems.append(Problem(self.source.path, line, error.cause, error.remedy))
                continue
            for label in labels:
                if label in seen:
                    continue
                seen.add(label)
                try:
                    yield self._subject(label)
                except NeuronCatalogError as error:
                    problems.append(Problem(self.source.path, line, error.cause, error.remedy))

    def _found(self, word: str) -> list[str]:
        """Return the model, or the folders that a glob finds; paths begin at the folder of the sweep."""
        if not _is_path(word):
            return [word]
        place = self.source.path.absolute().parent / Path(word).expanduser()
        found = sorted(each for each in glob.glob(str(place)) if Path(each).is_dir())  # noqa: PTH207, any depth
        if not found:
            raise RequestError(f"There is no folder {word}.", "Paths begin at the folder of the sweep.")
        return found

    def _subject(self, label: str) -> Subject:
        if label in self.catalog.architectures:
            tasks = self._tasks(label, self.catalog.supported_tasks(label))
            return Subject(label, label, None, tasks)
        if label in self.catalog.pipelines:
            raise RequestError(
                f"{label} is a diffusion pipeline.", "Export it by itself: sweeps take models."
            )
        if "/" not in label:
            close = nearest(label, self.catalog.architectures)
            raise RequestError(
                f"The catalog has no architecture {label!r}; {close}",
                "Write ./ before the name of a folder.",
            )
        architecture, trained = self._of_checkpoint(label)
        tasks = self._tasks(architecture, (trained,) if trained else ())
        missing = [
            axis
            for task in tasks
            for axis in self.catalog.mandatory_axes(architecture, task)
            if axis not in self.sweep.axes
        ]
        if missing:
            raise RequestError(f"{label} needs {', '.join(dict.fromkeys(missing))}.", "Add it to axes.")
        return Subject(label, architecture, label, tasks)

    def _of_checkpoint(self, model: str) -> tuple[str, str]:
        """Return the architecture of a checkpoint, and its task if none are written."""
        from neuron_catalog.models.libraries import LIBRARIES, saved_as_pipeline, saved_with
        from neuron_catalog.models.support import require_supported, task_of

        if saved_as_pipeline(model):
            raise RequestError(
                f"{model} is a diffusion pipeline.", "Export it by itself: sweeps take models."
            )
        library = saved_with(model)
        source = LIBRARIES[library].checkpoint(model=model)
        name = require_supported(self.catalog, str(source.raw_config()["model_type"]), library)
        return name, "" if self.sweep.tasks else task_of(self.catalog, name, source.config())

    def _tasks(self, architecture: str, own: tuple[str, ...]) -> tuple[str, ...]:
        if not self.sweep.tasks:
            return own
        supported = self.catalog.supported_tasks(architecture)
        wanted = [self.catalog.task_name(task) for task in self.sweep.tasks]
        tasks = tuple(dict.fromkeys(task for task in wanted if task in supported))
        if not tasks:
            raise RequestError(
                f"{architecture} serves none of {', '.join(wanted)}.", f"It serves {', '.join(supported)}."
            )
        return tasks

    def _jobs(self, subject: Subject, task: str, backend: str, options: Options) -> Iterator[Job]:
        used = [each for each in self.sweep.axes if each in self.catalog.axes(subject.architecture, task)]
        for sizes in itertools.product(*(_choices(self.sweep.axes[axis]) for axis in used)):
            axes: Axes = dict(zip(used, sizes, strict=True))
            yield Job(
                name=name_of(subject.label, task, backend, axes),
                architecture=subject.architecture,
                model=subject.model,
                task=task,
                axes=axes,
                backend=backend,
                compiler=options,
                validation=self.sweep.validation,
            )

    def _require_axes_in_use(self, jobs: Iterable[Job]) -> None:
        used = {axis for job in jobs for axis in job.axes}
        unused = [axis for axis in self.sweep.axes if axis not in used]
        if used and unused:
            hint = nearest(unused[0], used)
            raise RequestError(f"No model of this sweep has the axis {unused[0]}; {hint}", "Take it out.")

    def _is_excluded(self, label: str, job: Job) -> bool:
        return any(_holds(each, label, job) for each in self.sweep.exclude)


def _compiler(sweep: Sweep) -> Options:
    return {name: [*value] if isinstance(value, tuple) else value for name, value in sweep.compiler.items()}


def _is_path(word: str) -> bool:
    return word.startswith((".", "/", "~")) or any(sign in word for sign in "*?[")


def _choices(sizes: int | tuple[int, ...] | Buckets) -> tuple[int | tuple[int, ...], ...]:
    if isinstance(sizes, Buckets):
        return (tuple(sorted({*sizes.buckets})),)
    return (sizes,) if isinstance(sizes, int) else tuple(dict.fromkeys(sizes))


def _holds(exclusion: Exclusion, label: str, job: Job) -> bool:
    facts = {"model": label, "task": job.task, "backend": job.backend}
    said = {name: value for name in facts if (value := getattr(exclusion, name)) is not None}
    return said.items() <= facts.items() and _holds_of_sizes(exclusion.axes, job.axes)


def _holds_of_sizes(said: Mapping[str, int], axes: Axes) -> bool:
    for axis, size in said.items():
        given = axes.get(axis)
        if size != given and not (isinstance(given, tuple) and size in given):
            return False
    return True


def _told_apart(jobs: list[Job]) -> Iterator[Job]:
    """Give other names to jobs that would have the same: folders in several places that end alike."""
    count = Counter(job.name for job in jobs)
    for job in jobs:
        if count[job.name] > 1:
            name = name_of(job.source, job.task, job.backend, job.axes, tell_apart=True)
            yield job.model_copy(update={"name": name})
        else:
            yield job
