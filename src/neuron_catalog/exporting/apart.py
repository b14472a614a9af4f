"""Compile in a process of its own: a compiler may crash, be killed, or never end, and takes nobody along.

The process loads the model by itself and writes the graphs; what it has to tell lies in a file. What a
backend wants in the environment of its compiler is set there and nowhere else.
"""

from __future__ import annotations

import copyreg
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue

from neuron_catalog.errors import CompileError, CompilerStoppedError, NeuronCatalogError, first_line
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends.neuron_failures import explained, logs_in, tail
from neuron_catalog.exporting.compiling import compile_into, silent
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.interruption import undone_at_once

OUTCOME, LOG = "outcome.json", "process.log"
GRACE = 5.0
"""Seconds that a process has to end by itself once it is told to."""


@dataclass(frozen=True)
class Job:
    """What the process is to compile, and where to."""

    resolved: Resolved
    path: Path


def _frozen(items: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(items)


def _reduced(mapping: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _frozen, (dict(mapping),)


class _Pickler(pickle.Pickler):
    """Writes frozen mappings, too, of which requests hold many."""

    dispatch_table = {**copyreg.dispatch_table, MappingProxyType: _reduced}


def compiled_apart(resolved: Resolved, path: Path) -> dict[str, JsonValue]:
    """Compile a model into a file; return what the backend saw of its graphs.

    Its log and all that the compiler left are kept if it fails, or if the caller named a folder for them.

    Raises:
        CompileError: with the cause: what the compiler said, or how its process ended.
        RequestError: if the process cannot load the model.
    """
    asked = resolved.settings.asked
    named = asked.get("compiler_workdir")
    with _workdir(Path(str(named)) if named else None) as workdir:
        compiler = {**resolved.compiler, "compiler_workdir": str(workdir)}
        job = Job(replace(resolved, backend=None, compiler=compiler), path.resolve())  # type: ignore[arg-type]
        environment = {**os.environ, **resolved.backend.environment(resolved.settings)}
        timeout = asked.get("compiler_timeout")
        return _outcome(_run(job, workdir, environment, timeout), workdir)


@contextmanager
def _workdir(named: Path | None) -> Iterator[Path]:
    """Yield the folder that the caller named, or one that is kept only if the compiler fails."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        (named / OUTCOME).unlink(missing_ok=True)
        yield named
        return
    own = Path(mkdtemp(prefix="neuron-compiler-"))
    failed = False
    with undone_at_once(lambda: shutil.rmtree(own)):
        try:
            yield own
        except CompileError:
            failed = True
            raise
        finally:
            if not failed:
                shutil.rmtree(own, ignore_errors=True)


def _run(job: Job, workdir: Path, environment: Mapping[str, str], timeout: JsonValue) -> int:
    """Run the process to its end, and end it with all its children if this one is interrupted.

    The job comes through a file without a name: it may hold a token of the hub.

    Raises:
        CompilerStoppedError: if it takes more seconds than `timeout`, if that is a number.
    """
    seconds = timeout if isinstance(timeout, int) else None
    with (workdir / LOG).open("wb") as log, TemporaryFile() as told:
        _Pickler(told).dump(job)
        told.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(workdir)],
            stdin=told,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    with undone_at_once(lambda: os.killpg(process.pid, signal.SIGKILL)):
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise CompilerStoppedError(
                f"The compiler did not end within {seconds} s, and was stopped.",
                f"Give it more with --compiler_timeout, or choose smaller sizes. Its log is in {workdir}.",
            ) from error
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process, and whatever it has started and left behind."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _outcome(code: int, workdir: Path) -> dict[str, JsonValue]:
    """Return what the process tells.

    Raises:
        NeuronCatalogError: what it raised, or why it could tell nothing.
    """
    try:
        told: dict[str, Any] = json.loads((workdir / OUTCOME).read_bytes())
    except (OSError, ValueError):
        raise _ended(code, workdir) from None
    if "error" not in told:
        return told["observed"]  # type: ignore[no-any-return]
    kind = next(cls for cls in _kinds() if cls.__name__ == told["error"])
    raise kind(told["cause"], told["remedy"])


def _kinds() -> list[type[NeuronCatalogError]]:
    found = [NeuronCatalogError]
    for cls in found:
        found.extend(cls.__subclasses__())
    return found


def _ended(code: int, workdir: Path) -> CompileError:
    """Return what it means that a process ended without a word."""
    where = f"Its log is in {workdir}."
    if code == -signal.SIGKILL:
        return CompilerStoppedError(
            "The compiler was killed, most likely because the machine ran out of memory.",
            f"Choose smaller sizes, a lower optlevel (-O1), or a machine with more memory. {where}",
        )
    log = "\n".join(tail(path) for path in [*logs_in(workdir), workdir / LOG] if path.is_file())
    if code < 0:
        return explained(f"its process was ended by {signal.Signals(-code).name}", log, workdir)
    return explained(f"its process ended with code {code}", log, workdir)


def main(workdir: Path) -> int:
    """Do the job that comes on standard input, and write down the outcome in a folder."""
    job: Job = pickle.load(sys.stdin.buffer)  # from the process that asks
    resolved = replace(job.resolved, backend=backends.BACKENDS[job.resolved.backend_name])
    try:
        _, program = compile_into(resolved, job.path, silent)
        outcome: dict[str, Any] = {"observed": dict(program.observed)}
    except NeuronCatalogError as error:
        kind = type(error).__name__
        outcome = {"error": kind, "cause": error.cause, "remedy": error.remedy}
    except OSError as error:
        outcome = {"error": "RequestError", "cause": first_line(error), "remedy": "Mend it, and try again."}
    beside = workdir / f"{OUTCOME}.new"
    beside.write_text(json.dumps(outcome), encoding="utf-8")
    beside.replace(workdir / OUTCOME)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
