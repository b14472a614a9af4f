"""Commands about many exports at once: sweep plan, run, status, resume, report."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuron_catalog.cli.context import Json, catalog_of, print_columns, print_json
from neuron_catalog.cli.printing import say
from neuron_catalog.cli.progress import counted, progress_of, spoken, summary
from neuron_catalog.cli.reporting import Place, report
from neuron_catalog.errors import UsageError

if TYPE_CHECKING:
    from neuron_catalog.sweeping.destination import Destination, SweepRecord
    from neuron_catalog.sweeping.jobs import Outcome
    from neuron_catalog.sweeping.outlook import Outlook
    from neuron_catalog.sweeping.planning import Planned
    from neuron_catalog.sweeping.sweeper import Crew

MANY = 10_000
"""More jobs than these are started only if that is said."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="The sweep, a YAML file.")]
Yes = Annotated[bool, typer.Option("--yes", help=f"Go on with more than {MANY} jobs.")]
Workers = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="How many at once: 2, or on a cluster as many as it has room for."),
]
Engine = Annotated[str, typer.Option(metavar="ENGINE", help="What does the jobs: local or ray.")]
Address = Annotated[str | None, typer.Option(help="The Ray cluster, such as 10.0.0.5:6379 or auto.")]
FailedToo = Annotated[bool, typer.Option("--failed", help="Also do again what failed.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Export many models at once.", no_args_is_help=True)
    group.command("plan")(plan)
    group.command("run")(run)
    group.command("status")(status)
    group.command("resume")(resume)
    group.command("report")(report)
    app.add_typer(group, name="sweep")


def plan(context: typer.Context, file: File, as_json: Json = False, yes: Yes = False) -> int:
    """Print the jobs of a sweep, and what of them is in the compile cache; nothing is written."""
    from neuron_catalog.sweeping.outlook import outlook

    planned = _planned(context, file, yes)
    ahead = outlook(planned.jobs, catalog_of(context))
    if as_json:
        print_json(
            {
                "jobs": [
                    {**job.model_dump(mode="json"), "cached": job.name in ahead.cached}
                    for job in planned.jobs
                ],
                "seconds": round(ahead.seconds, 1),
                "problems": [vars(each) | {"file": str(each.file)} for each in planned.problems],
                "excluded": planned.excluded,
            }
        )
        return exit_code(len(planned.problems))
    marks = [("cached" if job.name in ahead.cached else "-") for job in planned.jobs]
    rows = zip(planned.jobs, marks, strict=True)
    print_columns([(job.source, job.task, job.backend, mark, job.sizes) for job, mark in rows])
    say(f"{_about(planned, ahead)}; to {planned.sweep.destination}.")
    _tell_problems(planned)
    return exit_code(len(planned.problems))


def run(
    context: typer.Context,
    file: File,
    engine: Engine = "local",
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
    yes: Yes = False,
) -> int:
    """Do all jobs of a sweep. What is done already at its destination is not done again."""
    from neuron_catalog.sweeping.destination import Destination, SweepRecord
    from neuron_catalog.sweeping.sweeper import Crew, require

    require(crew := Crew(engine, workers, address))
    planned = _planned(context, file, yes)
    folders = tuple(map(str, catalog_of(context).folders))
    destination = Destination(planned.place)
    record = SweepRecord(jobs=planned.jobs, limits=planned.sweep.limits, catalogs=folders)
    destination.begin(record)
    _tell_problems(planned)
    return exit_code(_done(destination, record, crew, as_json) + len(planned.problems))


def status(place: Place, as_json: Json = False) -> int:
    """Tell how far a sweep is."""
    from neuron_catalog.sweeping.destination import Destination

    destination = Destination(place)
    jobs, outcomes = destination.record().jobs, destination.outcomes()
    found = [outcomes[job.name] for job in jobs if job.name in outcomes]
    if as_json:
        print_json({"jobs": len(jobs), **Counter(each.state for each in found)})
        return 0
    say(summary(len(jobs), Counter(each.state for each in found)))
    for each in found:
        if each.state == "failed":
            say(f"{each.job.name}: {each.cause} {each.remedy}")
    return 0


def resume(
    place: Place,
    engine: Engine = "local",
    workers: Workers = None,
    address: Address = None,
    failed: FailedToo = False,
    as_json: Json = False,
) -> int:
    """Go on with a sweep that was interrupted."""
    from neuron_catalog.sweeping.destination import Destination
    from neuron_catalog.sweeping.sweeper import Crew, require

    require(crew := Crew(engine, workers, address))
    destination = Destination(place)
    return exit_code(_done(destination, destination.record(), crew, as_json, failed_too=failed))


def _planned(context: typer.Context, file: Path, yes: bool) -> Planned:
    from neuron_catalog.sweeping.planning import read_plan

    planned = read_plan(file, catalog_of(context))
    if len(planned.jobs) > MANY and not yes:
        raise UsageError(
            f"{file} comes to {len(planned.jobs)} jobs.",
            "Add --yes if that is meant, or take sizes out of axes.",
        )
    return planned


def _tell_problems(planned: Planned) -> None:
    for problem in planned.problems:
        typer.echo(str(problem), err=True)


def _done(
    destination: Destination, record: SweepRecord, crew: Crew, as_json: bool, *, failed_too: bool = False
) -> int:
    """Do what is left of a sweep, and tell how it goes; return how many jobs of all have failed."""
    from neuron_catalog.sweeping.sweeper import opened, sweep

    there = destination.outcomes()
    left = [job for job in record.jobs if is_left(there.get(job.name), failed_too)]
    again = {job.name for job in left}
    before = [there[job.name] for job in record.jobs if job.name not in again]
    out = sys.stdout
    with redirect_stdout(sys.stderr), opened(destination, record, crew) as engine:  # Ray prints what it hears
        workers = engine.workers()
        if not workers:
            typer.echo("No machine of the cluster has what a job needs; waiting for one.", err=True)
        with progress_of(len(record.jobs), before, max(1, workers), as_json, out) as progress:
            for outcome in sweep(destination, left, record, engine, progress.begin):
                progress.tell(outcome)
    return progress.states["failed"]


def is_left(outcome: Outcome | None, failed_too: bool) -> bool:
    """Tell whether a job is to be done: it has no outcome, or has failed and is to be tried again."""
    return outcome is None or (failed_too and outcome.state == "failed")


def exit_code(failed: int) -> int:
    """Return 0 if nothing failed, else 10 and the number of failures, 100 at most."""
    return min(10 + failed, 100) if failed else 0


def _about(planned: Planned, ahead: Outlook) -> str:
    told = [counted(len(planned.jobs), "job"), f"{len(ahead.cached)} in the compile cache"]
    if ahead.not_asked:
        told.append(f"{ahead.not_asked} not looked up")
    if planned.excluded:
        told.append(f"{planned.excluded} left out by exclude")
    told.append(f"about {spoken(ahead.seconds)} of one process")
    if ahead.unknown:
        told.append(f"beside {counted(ahead.unknown, 'job')} of which nothing is known")
    return ", ".join(told)
