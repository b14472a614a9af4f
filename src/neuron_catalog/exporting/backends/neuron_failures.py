"""What went wrong while the Neuron SDK compiled or loaded a graph, in one line of cause and one of remedy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from pydantic import JsonValue

from neuron_catalog.errors import CompileError, RequestError, first_line
from neuron_catalog.sdk.compiler_errors import error_lines, found_in

COMPILER_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    OSError,
    subprocess.SubprocessError,
)
"""What tracing and compiling may raise: a model's code, torch-xla and the compiler all have a say."""

LOG_BYTES = 2**20
"""How much of the end of a log is read."""

BUSY = ("busy", "NRT_RESOURCE", "in use by another")
"""Words of the Neuron runtime when another process holds the cores."""


@contextmanager
def compiling(asked: Mapping[str, JsonValue], name: str) -> Iterator[str]:
    """Yield the compiler's folder for a graph: below the one asked for, or below a new one.

    Raises:
        CompileError: for whatever tracing or compiling raises.
    """
    given = asked.get("compiler_workdir")
    folder = Path(str(given) if given else mkdtemp(prefix="neuron-compiler-")) / name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield str(folder)
    except COMPILER_ERRORS as error:
        raise compile_failure(error, folder) from error


def compile_failure(error: Exception, folder: Path) -> CompileError:
    """Return what the compiler said, explained where its documents do; `folder` is where it worked."""
    log = "\n".join((str(error), *map(tail, logs_in(folder))))
    return explained(first_line(error), log, folder)


def explained(cause: str, log: str, place: Path) -> CompileError:
    """Return a failure: by the first code of the compiler that the log names, else by what was raised."""
    where = f"Its log is in {place}."
    for found in found_in(log):
        return CompileError(
            f"The Neuron compiler refuses the graph with {found.code}, {found.title}: {found.means}",
            f"{found.remedy} {where}",
        )
    said = error_lines(log, most=1)
    told = f"{cause.rstrip('.')}." + (f" The log says: {said[0]}" if said and said[0] not in cause else "")
    return CompileError(
        f"The Neuron compiler failed: {told}",
        f"{where} `neuron-catalog explain --log FILE` looks it through.",
    )


def logs_in(folder: Path) -> list[Path]:
    """Return the logs that a compiler left below a folder, the newest last."""
    found = [path for pattern in ("**/*.log", "**/log-*.txt") for path in folder.glob(pattern)]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def tail(path: Path) -> str:
    """Return the end of a log."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - LOG_BYTES))
        return stream.read().decode(errors="replace")


@contextmanager
def load_failure(path: Path) -> Iterator[None]:
    """Tell why a graph could not be loaded.

    Raises:
        RequestError: for whatever the Neuron runtime raises.
    """
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        if any(word in str(error) for word in BUSY):
            raise RequestError(
                f"The NeuronCores are busy: {first_line(error)}",
                "`neuron-ls` shows which process holds them; stop it, or name others with first_core.",
            ) from error
        raise RequestError(
            f"{path.parent} cannot be loaded onto a Neuron device: {first_line(error)}",
            "`neuron-catalog doctor` shows the versions; export again for this machine.",
        ) from error
