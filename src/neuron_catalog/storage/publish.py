"""Make a folder appear at its place whole, or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.interruption import undone_at_once
from neuron_catalog.storage.disk import abandoned, exchange, held, make_durable, make_names_durable

GRAPH_OVERHEAD_BYTES = 2_000_000
"""Room for code and constants beside the weights. The largest measured overhead is 0.2 MB (MiniLM)."""

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")
"""How an address in a store begins, after a path has been made of it."""

PARTIAL, REPLACED = "partial", "replaced"
"""What the names of folders say that are not ready yet, and that have made room."""


def require_free(target: Path, overwrite: bool) -> None:
    """Make sure that `target` may be written.

    Raises:
        RequestError: if something is there and must not be replaced.
    """
    if ADDRESS.match(str(target)):
        raise RequestError(
            f"{target} is an address, and exports are written into folders.",
            "Export into a folder, then: neuron-catalog upload FOLDER URL",
        )
    if target.is_dir():
        if any(target.iterdir()) and not overwrite:
            raise RequestError(
                f"The folder {target} is not empty.", "Choose another one, or add --overwrite."
            )
    elif target.exists():
        raise RequestError(f"{target} is a file, not a folder.", "Choose another place.")


@contextmanager
def publication(target: Path, overwrite: bool = False, *, durable: bool = True) -> Iterator[Path]:
    """Yield a fresh folder beside `target`, renamed to it when the block ends well.

    On any failure, Ctrl-C included, the folder is removed and `target` is as it was. A folder that is
    replaced changes places with the new one in one step, where the system can do that. What killed processes
    left behind is cleared away first. With `durable`, a crash of the machine leaves `target` whole, too; it
    waits for the disk.

    Raises:
        RequestError: if `target` is taken, or if writing fails.
    """
    target = target.absolute()
    require_free(target, overwrite)
    partial = _beside(target, PARTIAL)
    with undone_at_once(lambda: shutil.rmtree(partial)):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            clear_away(target)
            partial.mkdir(mode=0o700)
            with held(partial):
                yield partial
                partial.chmod(0o777 & ~_umask())
                if durable:
                    make_durable(partial)
                _swap(partial, target, overwrite)
                if durable:
                    make_names_durable(target.parent)
        except OSError as error:
            raise _write_error(target, error) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def clear_away(target: Path) -> None:
    """Remove what killed processes left beside `target`; what had made room for it goes back to its place.

    Raises:
        OSError: as the operating system gives it.
    """
    for old in abandoned(target.parent.glob(f".{target.name}.{REPLACED}-*")):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)
    for partial in abandoned(target.parent.glob(f".{target.name}.{PARTIAL}-*")):
        shutil.rmtree(partial, ignore_errors=True)


def require_space(file: Path, weights_bytes: int) -> None:
    """Make sure that a graph with this much weight can be written to `file`, by reserving the space and
    giving it back.

    torch's C++ writer ends the whole process when the disk is full, so that must be found out before.

    Raises:
        OSError: as the operating system gives it.
    """
    needed = int(1.05 * weights_bytes) + GRAPH_OVERHEAD_BYTES
    with file.open("wb") as reserved:
        os.posix_fallocate(reserved.fileno(), 0, needed)
    file.unlink()


def _beside(target: Path, what: str) -> Path:
    """Return a path that nothing has."""
    return target.with_name(f".{target.name}.{what}-{token_hex(8)}")


def _swap(partial: Path, target: Path, overwrite: bool) -> None:
    require_free(target, overwrite)
    if not target.is_dir():
        partial.rename(target)
    elif exchange(partial, target):
        shutil.rmtree(partial, ignore_errors=True)
    else:
        _swap_in_two_steps(partial, target)


def _swap_in_two_steps(partial: Path, target: Path) -> None:
    old = _beside(target, REPLACED)
    with held(target):  # whatever its name is
        target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    """Return the process's umask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write_error(target: Path, error: OSError) -> RequestError:
    reason = error.strerror or first_line(error)
    return RequestError(
        f"{target} could not be written: {reason}.",
        "Nothing was left behind; check free space and permissions, and run it again.",
    )
