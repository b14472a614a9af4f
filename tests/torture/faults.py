"""Let a process be killed, or a file operation fail, at the n-th file operation inside a folder.

Operations are seen by Python's audit events, which come before the operation, and by wrappers around those
that have none (`fsync`, copying, `renameat2`). A copy is hit after its first half. What C++ code writes is
hit by kills at random times.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from neuron_catalog.storage import disk

EVENTS = (
    "open",
    "os.chmod",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
    "os.utime",
)
BY_FOLDER = ("os.remove", "os.rmdir")
"""Events whose last argument is the descriptor of the folder that a path is relative to, or -1."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Faults:
    """Counts operations; the one with number `at` is hit."""

    folder: str
    at: int
    hit: Callable[[str], None]
    seen: list[str] = field(default_factory=list)
    armed: bool = True

    def point(self, operation: str) -> None:
        """Pass an operation."""
        if not self.armed:
            return
        self.seen.append(operation)
        if len(self.seen) == self.at:
            self.armed = False
            self.hit(operation)

    def audit(self, event: str, arguments: tuple) -> None:
        """Pass what Python tells of."""
        if event in EVENTS and self.armed and self._inside(event, arguments):
            if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
                return
            self.point(event)

    def _inside(self, event: str, arguments: tuple) -> bool:
        """Whether it is about this folder; `rmtree` names files by the folder that it has opened."""
        opened = arguments[-1] if event in BY_FOLDER and arguments[-1] >= 0 else None
        for each in arguments:
            if not isinstance(each, (str, bytes, os.PathLike)):
                continue
            path = os.fsdecode(each)
            if opened is not None and not os.path.isabs(path):  # noqa: PTH117
                path = os.path.join(os.readlink(f"/proc/self/fd/{opened}"), path)  # noqa: PTH115, PTH118
            if os.path.abspath(path).startswith(self.folder):  # noqa: PTH100
                return True
        return False


def kill(operation: str) -> None:
    """End this process without a word."""
    del operation
    os.kill(os.getpid(), signal.SIGKILL)


def failing(code: int) -> Callable[[str], None]:
    """Return what lets an operation fail with an error code of the system."""

    def fail(operation: str) -> None:
        raise OSError(code, os.strerror(code), operation)

    return fail


def arm(folder: Path, at: int, hit: Callable[[str], None]) -> Faults:
    """Let this process, which is a child for this purpose, be hit; there is no way back."""
    faults = Faults(f"{folder.resolve()}{os.sep}", at, hit)
    sys.addaudithook(faults.audit)
    fsync, sendfile, rename = os.fsync, os.sendfile, disk._renameat2()

    def watched_fsync(descriptor: int) -> None:
        faults.point("fsync")
        fsync(descriptor)

    def watched_sendfile(target: int, source: int, offset: int, count: int) -> int:
        done = sendfile(target, source, offset, max(1, min(count, os.fstat(source).st_size) // 2))
        faults.point("sendfile")
        return done

    def watched_rename(*arguments: object) -> int:
        faults.point("renameat2")
        return int(rename(*arguments))

    os.fsync, os.sendfile = watched_fsync, watched_sendfile
    disk._renameat2 = lambda: watched_rename if rename else None
    return faults
