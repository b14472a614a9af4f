"""The door: parse, run one command, turn errors into one line of cause, one of remedy and an exit code."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from neuron_catalog.cli.commands import CommandGroup
from neuron_catalog.cli.context import Session
from neuron_catalog.errors import CatalogError, NeuronCatalogError, RequestError
from neuron_catalog.interruption import INTERRUPTED, watch
from neuron_catalog.version import __version__

GLOBAL_OPTIONS = {"--catalog": True, "--debug": False}
"""Options of every command, and whether a value follows; they may stand anywhere on the line."""

app = typer.Typer(
    cls=CommandGroup,
    name="neuron-catalog",
    help="Export Hugging Face models to AWS Neuron from a catalog of YAML files, and prove each export.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={
        "token_normalize_func": lambda word: word.replace("_", "-"),
        "help_option_names": ["-h", "--help"],
    },
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    catalog: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="A catalog folder to put in front of the shipped one; repeatable."),
    ] = None,
    debug: Annotated[bool, typer.Option(help="Show a traceback with every error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Keep the options of every command for the command that follows."""
    if version:
        typer.echo(f"neuron-catalog {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    context.obj = Session(folders=tuple(catalog or ()), debug=debug)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    line = hoisted(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = app(line, prog_name="neuron-catalog", standalone_mode=False)
        code = result if isinstance(result, int) else 0
        if code == INTERRUPTED:  # typer turns Ctrl-C into this code
            print("\nInterrupted; nothing half-done was left behind.", file=sys.stderr)
        return code
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (`| head`); the interpreter must not complain either
        return 0
    except Exception as error:  # noqa: BLE001, the one door
        if "--debug" in line:
            traceback.print_exception(error)
        return report(error, line)


def report(error: Exception, line: Sequence[str]) -> int:
    """Print cause and remedy, and return the exit code. Findings in a catalog stand one a line."""
    if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "transformers"):
        error = RequestError(f"This command needs {error.name}, which is not installed.", "See the README.")
    if isinstance(error, CatalogError):
        count = len(error.findings)
        cause, remedy = f"{error.subject} has {count} problem{'s' * (count != 1)}.", ""
        print(error.cause, file=sys.stderr)
    elif isinstance(error, NeuronCatalogError):
        cause, remedy = error.cause, error.remedy
    elif isinstance(error, TyperException):
        command = next((word for word in line if not word.startswith("-")), "")
        cause = error.format_message()
        remedy = f"`neuron-catalog {command} --help` shows what can be written."
    else:
        cause = f"{type(error).__name__}: {error}"
        remedy = "This is a bug in neuron-catalog; --debug shows where."
    print(f"Error: {cause}", file=sys.stderr)
    if remedy:
        print(f"  Fix: {remedy}", file=sys.stderr)
    return getattr(error, "exit_code", 1)


def hoisted(line: Sequence[str]) -> list[str]:
    """Move the global options to the front, so that they may stand anywhere before a `--`."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(line)
    for word in words:
        name = word.split("=", 1)[0]
        if word == "--":
            rest.append(word)
            rest.extend(words)
        elif name in GLOBAL_OPTIONS:
            front.append(word)
            if GLOBAL_OPTIONS[name] and "=" not in word:
                front.extend(value for value in [next(words, None)] if value is not None)
        else:
            rest.append(word)
    return front + rest


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Let a SIGTERM unwind like Ctrl-C does, so that temporary folders are removed."""
    del frame
    raise SystemExit(128 + number)


def run() -> NoReturn:
    """Run as the installed script `neuron-catalog`."""
    watch()
    sys.exit(main())


if __name__ == "__main__":
    run()
