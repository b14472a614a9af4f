"""Ctrl-C twice: the first unwinds what runs, the second ends the process at once, and cleans all the same."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread

INTERRUPTED = 130
"""The exit code of a process that Ctrl-C ended: 128 and the number of SIGINT."""

PATIENCE = 1.0
"""Seconds after which one is told that unwinding takes a while."""

_undo: dict[object, Callable[[], None]] = {}


@contextmanager
def undone_at_once(undo: Callable[[], None]) -> Iterator[None]:
    """While the block runs, a second Ctrl-C calls `undo`, in another thread, before it ends the process."""
    key = object()
    _undo[key] = undo
    try:
        yield
    finally:
        del _undo[key]


def watch() -> None:
    """Listen for Ctrl-C from now on, also while the main thread is in C++ code and cannot be interrupted.

    The first is left to Python, which raises KeyboardInterrupt as soon as it can.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_deaf)
    Thread(target=_listen, args=(heard,), daemon=True, name="Ctrl-C").start()


def _deaf() -> None:
    """Keep the signals of a forked child out of its parent's ears."""
    signal.set_wakeup_fd(-1)


def _listen(heard: socket.socket) -> None:
    _wait_for_one(heard)
    heard.settimeout(PATIENCE)
    try:
        _wait_for_one(heard)
    except TimeoutError:
        sys.stderr.write("\nStopping. Ctrl-C once more stops at once.\n")
        sys.stderr.flush()
        heard.settimeout(None)
        _wait_for_one(heard)
    _end()


def _wait_for_one(heard: socket.socket) -> None:
    while heard.recv(1) != bytes([signal.SIGINT]):
        pass


def _end() -> None:
    for process in multiprocessing.active_children():
        process.kill()
    for undo in [*_undo.values()][::-1]:
        with suppress(Exception):
            undo()
    os._exit(INTERRUPTED)
