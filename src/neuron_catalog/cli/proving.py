"""Commands that prove: selftest and validate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import JsonValue

from neuron_catalog.cli.compiling import with_compiler
from neuron_catalog.cli.context import BackendName, Json, Seed, catalog_of, print_json
from neuron_catalog.cli.pipelines import part_line
from neuron_catalog.cli.printing import MARKS, print_checks, row_progress, say
from neuron_catalog.errors import VerificationError


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("selftest")(with_compiler(selftest))
    app.command("validate")(validate)


def selftest(
    context: typer.Context,
    architectures: Annotated[
        list[str] | None, typer.Argument(metavar="ARCHITECTURES", help="All if none is given.")
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Processes to use.")] = 1,
    backend: BackendName = None,
    seed: Seed = 0,
    record: Annotated[
        bool,
        typer.Option("--record", help="Record passed rows as evidence; withdraw failed ones."),
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep finished rows in FILE, and skip those that passed before."),
    ] = None,
    as_json: Json = False,
    *,
    compiler: dict[str, JsonValue],
) -> None:
    """Export the tiny model of every architecture and task, run all checks, and the negative control."""
    from neuron_catalog.proving.journal import Journal
    from neuron_catalog.proving.selftest import Way
    from neuron_catalog.proving.selftest import selftest as rows

    catalog = catalog_of(context)
    names = architectures or list(catalog.names)
    total = sum(len(catalog.rows(name)) for name in names)
    way = Way(backend, seed, compiler)
    journal = Journal(resume, catalog, way) if resume else None
    done = journal.passed(names) if journal else []
    if done and not as_json:
        say(f"{len(done)} of {total} rows passed before: taken from {resume}.")
    with row_progress(total - len(done), quiet=as_json) as on_row:
        for row in rows(catalog, names, way, jobs=jobs, done=tuple(done)):
            if journal:
                journal.add(row)
            done.append(row)
            on_row(row)
    failed, not_run = sum(row.failed for row in done), sum(bool(row.not_run) for row in done)
    if record:
        from neuron_catalog.proving.record import record as write

        write(catalog, done)
    if as_json:
        done.sort(key=lambda row: (row.architecture, row.task))
        print_json([row.model_dump(mode="json") for row in done])
    else:
        rest = f" {not_run} not run." if not_run else ""
        say(f"{len(done) - failed - not_run} of {len(done)} passed.{rest}")
    if failed:
        raise typer.Exit(VerificationError.exit_code)


def validate(
    context: typer.Context,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A folder written by export.")],
    model: Annotated[
        str | None, typer.Option(metavar="ID_OR_DIR", help="The source checkpoint, if it has moved.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run all checks of an artifact again, against the model it was made from; of a pipeline images, too."""
    from neuron_catalog.composition import is_composition
    from neuron_catalog.exporting.revalidate import validate_artifact
    from neuron_catalog.manifest import Manifest

    if is_composition(artifact):
        from neuron_catalog.proving.compositions import validate_pipeline

        parts, images = validate_pipeline(artifact, catalog_of(context), model)
        if as_json:
            told: dict[str, Any] = {n: [c.model_dump(mode="json") for c in each] for n, each in parts.items()}
            print_json({"parts": told, "images": {n: c.model_dump(mode="json") for n, c in images.items()}})
            return
        for name, checks in parts.items():
            say(part_line(name, checks))
        for use, check in images.items():
            say(f"- {use}: [{MARKS[check.status]}] {check.detail}")
        return
    graphs = validate_artifact(artifact, catalog_of(context), model)
    if as_json:
        print_json([graph.model_dump(mode="json", include={"name", "checks"}) for graph in graphs])
    else:
        print_checks(Manifest.read(artifact).model_copy(update={"graphs": graphs}))
