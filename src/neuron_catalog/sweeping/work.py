"""Do one job: in whatever process, on whatever machine."""

from __future__ import annotations

import os
import resource
import socket
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.errors import NeuronCatalogError, first_line
from neuron_catalog.exporting.exporter import Exported, export
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.manifest import Manifest
from neuron_catalog.sweeping.destination import Destination
from neuron_catalog.sweeping.jobs import Job, Outcome


def do(job: Job, place: str, catalogs: tuple[str, ...] = (), attempt: int = 1) -> Outcome:
    """Export what a job says, and write artifact and outcome to their place. A failure is an outcome, too."""
    started = time.monotonic()
    destination = Destination(place)
    if attempt > 1 and (there := destination.outcome(job.name)) and there.state != "failed":
        return there  # the process was killed when all was done
    made: list[Exported] = []

    def exported(folder: Path) -> Manifest:
        made.append(export(request_of(job, folder), _catalog(catalogs)))
        return made[0].manifest

    failure = ("", "")
    try:
        destination.fill(job, exported)
    except NeuronCatalogError as error:
        failure = error.cause, error.remedy
    except Exception as error:  # noqa: BLE001, a model may raise anything, and one job never ends the sweep
        failure = f"{type(error).__name__}: {first_line(error)}", ""
    seconds = time.monotonic() - started
    cause, remedy = failure
    facts = {"state": "failed", "cause": cause, "remedy": remedy} if any(failure) else _facts(made[0])
    outcome = Outcome(
        job=job,
        seconds=round(seconds, 3),
        attempts=attempt,
        megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        where=f"{socket.gethostname()}:{os.getpid()}",
        **facts,
    )
    destination.write(outcome)
    return outcome


@lru_cache(maxsize=1)
def _catalog(folders: tuple[str, ...]) -> Catalog:
    """Return the catalog; one process does all its jobs with what it read first."""
    return load_catalog(folders)


def request_of(job: Job, folder: Path) -> ExportRequest:
    """Return the export that a job is."""
    return ExportRequest(
        architecture=None if job.model else job.architecture,
        model=job.model,
        task=job.task,
        out=folder,
        axes=job.axes,
        backend=job.backend,
        compiler=job.compiler,
        validation=job.validation,
        overwrite=True,
    )


def _facts(made: Exported) -> dict[str, Any]:
    return {
        "state": "cached" if made.recalled else "done",
        "artifact_bytes": sum(file.bytes for file in made.manifest.files.values()),
        "difference": _difference(made.manifest),
    }


def _difference(manifest: Manifest) -> float | None:
    checks = [check for graph in manifest.graphs for check in graph.checks]
    seen = [each for check in checks for each in check.differences if each.allowed]
    return max((each.largest / each.allowed for each in seen), default=None)
