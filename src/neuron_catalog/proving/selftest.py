"""Prove the catalog: export every architecture × task with its tiny model, negative control included."""

from __future__ import annotations

import datetime
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, JsonValue, computed_field

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import NeuronCatalogError, RequirementError, first_line
from neuron_catalog.exporting.backends import choose
from neuron_catalog.exporting.build import Built, Draft, build, draft_of, live_subjects, read_beside
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.examination import examine_before
from neuron_catalog.exporting.request import ExportRequest, Resolved, resolve, resolve_component
from neuron_catalog.exporting.validator import check_values, validate, waived
from neuron_catalog.manifest import Check, Record
from neuron_catalog.models.components import TinyComponentSource
from neuron_catalog.models.tiny import TinySource
from neuron_catalog.models.wrappers import WRAPPERS
from neuron_catalog.proving.compositions import check_pipeline
from neuron_catalog.proving.generation import check_generation, generates, with_room

ROWS_PER_PROCESS = 60
"""After about so many rows a process is replaced: TorchScript keeps what it compiled until the process ends,
3.5 MB for each row (2.2 GB after 495 rows)."""


def today() -> str:
    """Return the day as YYYY-MM-DD."""
    return datetime.date.today().isoformat()


class Row(Record):
    """The outcome for one architecture and task.

    `error` is set when it did not come to checks, `not_run` when the YAML says that the installed packages
    cannot run it.
    """

    architecture: str
    task: str
    backend: str
    checks: tuple[Check, ...] = ()
    observed: dict[str, JsonValue] = {}
    """Name of a graph → what the backend saw of it."""
    compiler: dict[str, JsonValue] = {}
    """What a compiler was passed, if it is one of its own."""
    error: str = ""
    not_run: str = ""
    seconds: float = 0.0
    date: str = Field(default_factory=today)
    """Day of the run, YYYY-MM-DD."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether everything ran and nothing failed."""
        return (
            not self.error
            and not self.not_run
            and bool(self.checks)
            and all(c.status != "failed" for c in self.checks)
        )

    @property
    def failed(self) -> bool:
        """Whether it was run and did not pass."""
        return not self.passed and not self.not_run

    @property
    def complaint(self) -> str:
        """One line for each thing that is wrong, or why it was not run."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if check.status == "failed"]
        return "\n".join(filter(None, [self.error, self.not_run, *failed]))


@dataclass(frozen=True)
class Way:
    """How the models of a run are made."""

    backend: str | None = None
    seed: int = 0
    compiler: Mapping[str, JsonValue] = field(default_factory=dict)
    """What the compiler is asked."""


@dataclass(frozen=True)
class Job:
    """One row to be tested; small and picklable, so that a worker process can take it."""

    architecture: str
    task: str
    folders: tuple[Path, ...]
    way: Way = Way()


def selftest(
    catalog: Catalog,
    names: Iterable[str],
    way: Way = Way(),
    *,
    jobs: int = 1,
    done: Iterable[Row] = (),
) -> Iterator[Row]:
    """Yield the outcome of each architecture × task, as it comes; those of `done` are left out.

    Raises:
        RequestError: if a name is unknown.
        CatalogError: if its file is wrong.
    """
    left_out = {(row.architecture, row.task) for row in done}
    todo = [
        Job(name, task, catalog.folders, way)
        for name in names
        for task in catalog.rows(name)
        if (name, task) not in left_out
    ]
    if jobs == 1 and len(todo) <= ROWS_PER_PROCESS:
        yield from map(run_job, todo)
        return
    for start in range(0, len(todo), jobs * ROWS_PER_PROCESS):
        yield from _in_fresh_processes(todo[start : start + jobs * ROWS_PER_PROCESS], jobs)


def _in_fresh_processes(todo: list[Job], jobs: int) -> Iterator[Row]:
    """Yield rows as they finish. Whoever stops asking waits for those that are running, not for all."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_begin_process)
    try:
        for future in as_completed([pool.submit(run_job, job) for job in todo]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process() -> None:
    """One thread for each process; a Ctrl-C, which reaches all of them, is for the first one to answer."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_job(job: Job) -> Row:
    """Export one tiny model or pipeline into a folder that is thrown away, and examine it."""
    started = time.perf_counter()
    outcome: dict[str, Any]
    compiler: dict[str, JsonValue] = {}
    try:
        catalog = Catalog(job.folders)
        with tempfile.TemporaryDirectory(prefix="neuron-catalog-") as folder:
            if job.architecture in catalog.pipelines:
                seen = check_pipeline(catalog, job.architecture, job.task, Path(folder), **vars(job.way))
                outcome = {"checks": seen}
            else:
                resolved = _resolved(job, catalog)
                if resolved.backend.APART:
                    compiler = resolved.backend.arguments(resolved.settings)
                outcome = check_model(resolved, Path(folder))
    except RequirementError as error:
        outcome = {"not_run": error.cause}
    except NeuronCatalogError as error:
        outcome = {"error": first_line(error)}
    except Exception as error:  # noqa: BLE001, a model may raise anything, and one row never ends the run
        outcome = {"error": f"{type(error).__name__}: {first_line(error)}"}
    seconds = round(time.perf_counter() - started, 3)
    backend, _ = choose(job.way.backend)
    names = {"architecture": job.architecture, "task": job.task, "backend": backend}
    return Row(**names, compiler=compiler, seconds=seconds, **outcome)


def check_model(resolved: Resolved, folder: Path) -> dict[str, Any]:
    """Export a tiny model or component into a folder; return what a row tells of it.

    Raises:
        NeuronCatalogError: if it cannot be exported.
    """
    resolved.require_compilable()
    built = build(resolved, folder, silent)
    if reason := resolved.backend.unable_to_run():
        return {"observed": built.observed, "checks": _compiled_only(built, resolved, reason)}
    draft = read_beside(built, resolved, folder)
    outcomes = validate(draft.subject)
    if generates(built.plan):
        written = check_generation(built, draft, resolved, folder)
        outcomes = (*outcomes, waived(written, built.plan))
    stale = _stale_waivers(built, outcomes)
    checks = (*outcomes, negative_control(draft, resolved), *stale)
    return {"observed": built.observed, "checks": checks}


def _compiled_only(built: Built, resolved: Resolved, reason: str) -> tuple[Check, ...]:
    """Return what can be said of a graph that was compiled for a device which is not here."""
    draft = draft_of(built, live_subjects(built, resolved), resolved.seed)
    (graph,) = examine_before(draft.plans, draft.subjects, ("right", "left"), reason)
    return (*graph.checks, Check(name="negative_control", status="not_run", detail=reason))


def _resolved(job: Job, catalog: Catalog) -> Resolved:
    if job.architecture in catalog.components:
        component = resolve_component(job.architecture, catalog, job.way.backend, job.way.seed)
        return replace(component, compiler=job.way.compiler)
    return resolve(_request(job), catalog)


def _request(job: Job) -> ExportRequest:
    """Ask for the tiny model; of a task that writes texts, with room for some new tokens."""
    catalog = Catalog(job.folders)
    axes = catalog.axes(job.architecture, job.task)
    room = with_room(axes, catalog.get(job.architecture).tiny.axes)
    return ExportRequest(
        architecture=job.architecture,
        task=job.task,
        axes=room,
        **vars(job.way),
    )


def negative_control(draft: Draft, resolved: Resolved) -> Check:
    """A model with other weights must be told apart, or the comparison proves nothing."""
    assert isinstance(resolved.source, (TinySource, TinyComponentSource))
    stranger = replace(resolved.source, seed=resolved.seed + 1).load(draft.plan)
    oracle = WRAPPERS[draft.plan.wrapper].oracle(stranger.module, draft.subject.plan)
    verdict = check_values(replace(draft.subject, oracle=oracle))
    if verdict.status == "failed":
        return Check(name="negative_control", status="passed", detail=f"rejected: {verdict.detail}")
    detail = f"a model with other weights was accepted: {verdict.detail}"
    return Check(name="negative_control", status="failed", detail=detail)


def _stale_waivers(built: Built, checks: tuple[Check, ...]) -> Iterator[Check]:
    """A declared deviation of which nothing at all is seen is an untrue statement in the catalog.

    One that stays within the tolerance is not: how much leaks depends on the weights.
    """
    spotless = {
        check.name
        for check in checks
        if check.status == "passed" and not any(d.largest for d in check.differences)
    }
    for waiver in built.plan.waivers:
        if waiver.check in spotless:
            detail = f"the YAML declares that {waiver.check} deviates, but nothing was seen: remove it"
            yield Check(name="deviation", status="failed", detail=detail)
