"""Make a folder appear at its place whole, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuron_catalog.errors import RequestError, first_line


def require_free(target: Path, overwrite: bool) -> None:
    """Make sure that `target` may be written.

    Raises:
        RequestError: if something is there and must not be replaced.
    """
    if target.is_dir():
        if any(target.iterdir()) and not overwrite:
            raise RequestError(
                f"The folder {target} is not empty.", "Choose another one, or add --overwrite."
            )
    elif target.exists():
        raise RequestError(f"{target} is a file, not a folder.", "Choose another place.")


GRAPH_OVERHEAD_BYTES = 2_000_000
"""Room for code and constants beside the weights. The largest measured overhead is 0.2 MB (MiniLM)."""


@contextmanager
def publication(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a fresh folder beside `target`, renamed to it when the block ends well.

    On any failure, Ctrl-C included, the folder is removed and `target` is as it was. A replaced folder is
    moved aside first and deleted last.

    Raises:
        RequestError: if `target` is taken, or if writing fails.
    """
    target = target.absolute()
    require_free(target, overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    except OSError as error:
        raise _write_error(target, error) from error
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())
        _swap(partial, target, overwrite)
    except OSError as error:
        raise _write_error(target, error) from error
    finally:
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


def _swap(partial: Path, target: Path, overwrite: bool) -> None:
    require_free(target, overwrite)
    if not target.is_dir():
        partial.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.replaced-", dir=target.parent))
    target.rename(old)
    try:
        partial.rename(target)
    finally:
        if not target.exists():
            old.rename(target)
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
