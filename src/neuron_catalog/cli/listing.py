"""Commands that read the catalog. None of them imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from neuron_catalog.cli.context import Json, catalog_of, overview_of, print_columns, print_json
from neuron_catalog.cli.findings import Format
from neuron_catalog.errors import CatalogError, Finding, UsageError

Architecture = Annotated[str, typer.Argument(metavar="ARCHITECTURE", help="A model type, such as esm.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("list")(list_architectures)
    app.command("list-tasks")(list_tasks)
    app.command("show")(show)
    app.command("check")(check)


def list_architectures(context: typer.Context, as_json: Json = False) -> None:
    """List all architectures, components and pipelines, and how far they are proved."""
    from neuron_catalog.catalog.tiers import lowest

    overview = overview_of(context)
    found, tiers, composed = (
        overview.outlines(overview.architectures),
        overview.tiers(),
        overview.compositions(),
    )
    if as_json:
        told: dict[str, Any] = {n: {"family": a["family"], "tasks": tiers[n]} for n, a in found.items()}
        told |= {n: {"family": c["family"], "tier": c["tier"]} for n, c in composed["components"].items()}
        for name, pipeline in composed["pipelines"].items():
            told[name] = {"uses": {use: tier for use, (_, tier) in pipeline["uses"].items()}}
        print_json(told)
        return
    rows = [
        (name, a["family"], lowest(tiers[name].values()), f"{len(a['tasks'])} tasks", a["summary"])
        for name, a in found.items()
    ]
    rows += [
        (n, c["family"], c["tier"], "component", c["summary"]) for n, c in composed["components"].items()
    ]
    for name, pipeline in composed["pipelines"].items():
        proved = lowest(tier for _, tier in pipeline["uses"].values())
        rows.append((name, "pipeline", proved, f"{len(pipeline['uses'])} uses", pipeline["summary"]))
    print_columns(rows)


def list_tasks(
    context: typer.Context,
    architecture: Annotated[
        str | None, typer.Argument(metavar="ARCHITECTURE", help="A model type, such as esm.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the tasks of an architecture with their outputs, or all tasks of the catalog.

    Of a pipeline, which is asked for as a task is, the uses are listed.
    """
    overview = overview_of(context)
    if architecture in overview.pipelines:
        pipeline = overview.compositions()["pipelines"][architecture]
        uses = {use: cls for use, (cls, _) in pipeline["uses"].items()}
        if as_json:
            print_json(uses)
        else:
            print_columns([(use, cls, _needs(pipeline["mandatory_axes"])) for use, cls in uses.items()])
        return
    if architecture is not None:
        of = overview.outlines([architecture])[architecture]["tasks"]
        if as_json:
            print_json(of)
            return
        print_columns([(n, ", ".join(t["outputs"]), _needs(t["mandatory_axes"])) for n, t in of.items()])
        return
    tasks = overview.tasks()
    if not as_json:
        rows = [(name, task["auto_class"], task["summary"]) for name, task in tasks.items()]
        pipelines = overview.compositions()["pipelines"]
        rows += [(name, "pipeline", each["summary"]) for name, each in pipelines.items()]
        print_columns(rows)
        return
    found = overview.outlines(overview.architectures)
    users = {task: [name for name, a in found.items() if task in a["tasks"]] for task in tasks}
    print_json({name: {**task, "architectures": users[name]} for name, task in tasks.items()})


def show(context: typer.Context, architecture: Architecture, as_json: Json = False) -> None:
    """Show everything the catalog says about an architecture, component or pipeline, names resolved."""
    from neuron_catalog.cli.showing import shown

    resolved = shown(catalog_of(context), architecture)
    if as_json:
        print_json(resolved)
    else:
        import yaml

        typer.echo(yaml.safe_dump(resolved, sort_keys=False, width=110, default_flow_style=None), nl=False)


def check(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILES", help="Catalog files; all if none is given.")
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="First rewrite architecture files in canonical form, comments kept. Families, tasks and "
            "normalized configs are only checked.",
        ),
    ] = False,
    wanted: Annotated[
        Format | None,
        typer.Option("--format", help="text, if nothing is said; for programs json, github or sarif."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Check catalog files and list everything that is wrong in them."""
    if as_json and wanted not in (None, "json"):
        raise UsageError(f"--json and --format {wanted} exclude each other.", "Give one of them.")
    form = "json" if as_json else wanted or "text"
    left: Sequence[Finding] = ()
    if fix:
        left = _rewritten(files or catalog_of(context).files(), quiet=form != "text")
    overview = overview_of(context)  # after the files are rewritten: it reads them once
    findings = sorted({*left, *(catalog_of(context).check(files) if files else overview.check())})
    if form != "text":
        _print_findings(findings, form)
    elif findings:
        raise CatalogError(findings)
    else:
        count = len(files or overview.files)
        typer.echo(f"{count} file{'s' * (count != 1)} checked: no problems.")


def _rewritten(files: Sequence[Path], quiet: bool) -> Sequence[Finding]:
    """Rewrite files and name those that changed, on standard error if `quiet`; return why others were not."""
    from neuron_catalog.authoring.rewriting import rewrite_all

    changed, left = rewrite_all(files)
    for path in changed:
        typer.echo(f"rewritten: {path}", err=quiet)
    return left


def _print_findings(findings: Sequence[Finding], form: Format) -> None:
    from neuron_catalog.cli.findings import FORMATS

    if text := FORMATS[form](findings):
        typer.echo(text)
    if findings:
        raise typer.Exit(CatalogError.exit_code)


def _needs(axes: list[str]) -> str:
    return f"needs {', '.join(axes)}" if axes else "all sizes have defaults"
