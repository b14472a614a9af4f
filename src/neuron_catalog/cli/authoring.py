"""Commands that write catalog files and say what is missing or wrong: new, explain, outdated."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuron_catalog.cli.context import Json, catalog_of, print_columns, print_json
from neuron_catalog.cli.printing import print_compiler_error, progress, say
from neuron_catalog.errors import RequestError, UsageError, VerificationError, nearest

if TYPE_CHECKING:
    from neuron_catalog.authoring.author import Authored

Model = Annotated[
    str, typer.Argument(metavar="MODEL_TYPE|HUB_ID|FOLDER", help="A model type, or a checkpoint of one.")
]
Explained = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL_TYPE|HUB_ID|FOLDER|CODE",
        help="A model type, a checkpoint of one, or an error code of the compiler neuronx-cc.",
    ),
]
Log = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Explain the errors in a log of the compiler instead.")
]
STEPS = 3
"""About how many steps a draft takes."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("new")(new)
    app.command("explain")(explain)
    app.command("outdated")(outdated)


def new(
    context: typer.Context,
    model: Model,
    *,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The catalog folder to write into.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write the catalog file of a model type, check it, and run every row of it."""
    from neuron_catalog.authoring.author import author
    from neuron_catalog.authoring.explanation import model_type_of

    catalog = catalog_of(context)
    model_type, checkpoint = model_type_of(model)
    folder = out or (catalog.folders[0] if catalog.is_editable else Path())
    target = folder / "architectures" / f"{model_type}.yaml"
    if target.exists() and not overwrite:
        raise RequestError(f"{target} exists already.", "Add --overwrite to replace it, or --out DIR.")
    with progress(STEPS, quiet=as_json) as on_step:
        done = author(model_type, catalog, on_step, checkpoint)
    if not (yes or as_json) and sys.stdin.isatty():
        done = _asked(done)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(done.draft.text(), encoding="utf-8")
    findings = catalog.check([target])
    if as_json:
        print_json(_facts(done, target, [str(finding) for finding in findings]))
    else:
        _print_verdict(done, target)
    if findings:
        raise VerificationError("\n".join(map(str, findings)), "This is a bug in `new`; correct the file.")


def explain(
    context: typer.Context, subject: Explained = None, log: Log = None, as_json: Json = False
) -> None:
    """Say whether a model is supported, or what is missing; or what an error of the compiler means."""
    from neuron_catalog.sdk.compiler_errors import code_in

    if (subject is None) == (log is None):
        raise UsageError("explain takes a model, an error code of the compiler, or --log FILE: one of them.")
    if log is not None:
        _explain_log(log, as_json)
    elif subject is not None and (code := code_in(subject)) and not Path(subject).exists():
        _explain_code(code, as_json)
    elif subject is not None:
        _explain_model(context, subject, as_json)


def _explain_model(context: typer.Context, model: str, as_json: bool) -> None:
    from neuron_catalog.authoring.explanation import explanation

    found = explanation(model, catalog_of(context))
    if as_json:
        print_json(found)
        return
    for line in found["lines"]:
        say(line)


def _explain_code(code: str, as_json: bool) -> None:
    from neuron_catalog.sdk.compiler_errors import compiler_errors

    errors = compiler_errors()
    if code not in errors:
        raise RequestError(
            f"No error {code} of the compiler is documented; {nearest(code, errors)}",
            "docs/neuron-compiler-errors.md lists all of them.",
        )
    if as_json:
        print_json(errors[code].model_dump())
    else:
        print_compiler_error(errors[code])


def _explain_log(log: Path, as_json: bool) -> None:
    from neuron_catalog.sdk.compiler_errors import error_lines, found_in

    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RequestError(f"{log} cannot be read: {error.strerror}.", "Check its name.") from error
    found = found_in(text)
    lines = () if found else error_lines(text)
    if as_json:
        print_json({"log": str(log), "errors": [each.model_dump() for each in found], "lines": lines})
        return
    for each in found:
        print_compiler_error(each)
    if not found:
        say(f"{log} mentions no documented error of the compiler.")
        say("Its last lines about an error:" if lines else "Nor does a line of it tell of an error.")
    for line in lines:
        say(f"  {line}")


def outdated(
    context: typer.Context,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print what to change in each file.")] = False,
    as_json: Json = False,
) -> None:
    """List what the installed transformers has and the catalog lacks, and the reverse."""
    from neuron_catalog.authoring.changes import changes

    found = changes(catalog_of(context))
    if as_json:
        print_json([vars(change) for change in found])
    elif as_yaml:
        for change in found:
            say(f"# {change.architecture}: {change.kind}\n{change.remedy}")
    else:
        print_columns([(change.kind, change.architecture, ", ".join(change.tasks)) for change in found])
        kinds = Counter(change.kind for change in found)
        say(", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "Nothing differs.")


def _asked(done: Authored) -> Authored:
    """Let a human decide what no program knows, on a terminal."""
    say(done.draft.text())
    summary = typer.prompt("Summary, in one sentence", default=done.draft.summary)
    checkpoint = typer.prompt("A small checkpoint on the hub, if any", default=done.draft.checkpoint or "")
    return done.saying(summary, checkpoint or None)


def _facts(done: Authored, target: Path, findings: list[str]) -> dict[str, Any]:
    return {
        "file": str(target),
        "text": done.draft.text(),
        "passed": [row.task for row in done.rows],
        "left_out": done.left_out,
        "findings": findings,
    }


def _print_verdict(done: Authored, target: Path) -> None:
    for row in done.rows:
        deviates = [check.name for check in row.checks if check.status == "deviates"]
        note = f"  (by design not {', '.join(deviates)})" if deviates else ""
        say(f"[✓] {row.architecture} {row.task}: every check passed{note}")
    for task, reason in done.left_out.items():
        say(f"[–] {done.draft.architecture} {task} is left out: {reason.splitlines()[0]}")
    say(f"Wrote {target}. Read it, then record its runs: neuron-catalog selftest {target.stem} --record")
