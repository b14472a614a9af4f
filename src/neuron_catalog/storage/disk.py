"""What the operating system offers for work that may be interrupted: locks of folders, exchange, flushing."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

YOUNG_SECONDS = 10
"""A folder that was changed so recently may be about to be held."""

AT_FDCWD = -100
RENAME_EXCHANGE = 2
"""Of `renameat2(2)`, Linux."""

NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
"""What `renameat2` says where kernel or file system cannot exchange."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, under whatever name, until the block or the process ends, however it does.

    On file systems that have no locks for folders (some NFS) nothing is held, and nothing ever cleared away.

    Raises:
        OSError: if it cannot be opened.
    """
    with _opened(folder) as descriptor:
        _take(descriptor)
        yield


def abandoned(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders whose holder is gone; nobody else can take one while the caller looks at it."""
    for folder in folders:
        with suppress(OSError), _opened(folder) as descriptor:
            age = abs(time.time() - os.fstat(descriptor).st_mtime)  # a clock may have been set back
            if age > YOUNG_SECONDS and _take(descriptor):
                yield folder


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; return whether the system can.

    Raises:
        OSError: if it can in general, and not here.
    """
    rename = _renameat2()
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in NOT_HERE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@cache
def _renameat2() -> Any:
    """Return the C library's function; glibc has it from 2.28, musl has not."""
    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return None


def make_durable(folder: Path) -> None:
    """Wait until the files of a folder, and the folders themselves, are on the disk.

    Raises:
        OSError: as the operating system gives it.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place, name))
        _sync(Path(place))


def make_names_durable(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, after one was made or renamed."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
