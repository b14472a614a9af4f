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
    """List all architectures with their family, how far they are proved, and their number of tasks."""
    from neuron_catalog.catalog.tiers import lowest

    overview = overview_of(context)
    found, tiers = overview.outlines(overview.architectures), overview.tiers()
    if as_json:
        print_json({name: {"family": a["family"], "tasks": tiers[name]} for name, a in found.items()})
        return
    print_columns(
        [
            (name, a["family"], lowest(tiers[name].values()), f"{len(a['tasks'])} tasks", a["summary"])
            for name, a in found.items()
        ]
    )


def list_tasks(
    context: typer.Context,
    architecture: Annotated[
        str | None, typer.Argument(metavar="ARCHITECTURE", help="A model type, such as esm.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the tasks of an architecture with their outputs, or all tasks of the catalog."""
    overview = overview_of(context)
    if architecture is not None:
        of = overview.outlines([architecture])[architecture]["tasks"]
        if as_json:
            print_json(of)
            return
        print_columns([(n, ", ".join(t["outputs"]), _needs(t["mandatory_axes"])) for n, t in of.items()])
        return
    tasks = overview.tasks()
    if not as_json:
        print_columns([(name, task["auto_class"], task["summary"]) for name, task in tasks.items()])
        return
    found = overview.outlines(overview.architectures)
    users = {task: [name for name, a in found.items() if task in a["tasks"]] for task in tasks}
    print_json({name: {**task, "architectures": users[name]} for name, task in tasks.items()})


def show(context: typer.Context, architecture: Architecture, as_json: Json = False) -> None:
    """Show everything the catalog says about an architecture, with all names resolved."""
    catalog = catalog_of(context)
    found = catalog.get(architecture)
    family = catalog.families[found.family]
    aliases = catalog.normalized_configs[found.normalized_config]
    tiers, runs = catalog.tiers(architecture), catalog.evidence(architecture)
    selected = dict.fromkeys(name for task in found.tasks for name in catalog.inputs(architecture, task))
    resolved: dict[str, Any] = {
        "file": str(catalog.file_of(architecture)),
        **found.model_dump(mode="json", exclude_defaults=True),
        "atol": found.atol or family.atol,
        "tasks": {
            task: {
                "inputs": list(catalog.inputs(architecture, task)),
                "outputs": list(outputs),
                "model_class": catalog.model_class(architecture, task),
                "runtime_class": catalog.tasks[task].runtime_class,
                "mandatory_axes": list(catalog.mandatory_axes(architecture, task)),
                "tier": tiers[task],
                "evidence": [
                    {"backend": run.backend, "date": run.date, **run.versions}
                    for run in runs
                    if run.task == task
                ],
            }
            for task, outputs in found.tasks.items()
        },
        "axes": {
            name: family.axes[name].model_dump(mode="json", exclude_defaults=True)
            for task in found.tasks
            for name in catalog.axes(architecture, task)
        },
        "input_definitions": {
            name: family.inputs[name].model_dump(mode="json", exclude_defaults=True) for name in selected
        },
        "config_paths": dict(aliases),
    }
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
