"""Answers kept in the user's cache folder, each with the digest of the files that it was made from.

A file holds the answers of one kind about one list of catalog folders: JSON behind a line with its digest,
which covers also what the answers rest on. So what another version wrote, and what was damaged, is taken for
an empty cache. Nothing here fails: a cache that can be neither read nor written costs time only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from neuron_catalog.storage.home import cache_home
from neuron_catalog.version import __version__

READING_CODE = ("schema", "catalog", ".")
"""The folders of this package whose code decides what an answer is."""

KEPT_SECONDS = 90 * 24 * 3600
"""A file that was not written for so long is removed when another one is written."""


class AnswerCache:
    """Question → digest of the files concerned, and the answer; all of them in one file."""

    def __init__(self, path: Path, basis: bytes) -> None:
        """Open the file at `path`; what was written on another basis counts for nothing."""
        self._path = path
        self._basis = basis

    @cached_property
    def _answers(self) -> dict[str, tuple[str, Any]]:
        try:
            seal, _, body = self._path.read_bytes().partition(b"\n")
        except OSError:
            return {}
        found: dict[str, tuple[str, Any]] = json.loads(body) if seal == self._seal(body) else {}
        return found

    def get(self, question: str, digest: str) -> Any:
        """Return the answer that was made from files with this digest, or nothing."""
        known = self._answers.get(question)
        return known[1] if known and known[0] == digest else None

    def add(self, answers: dict[str, tuple[str, Any]]) -> None:
        """Write more answers, in place of earlier ones to the same questions, or give up silently."""
        body = json.dumps(self._answers | answers, separators=(",", ":")).encode()
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}-{time.monotonic_ns()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(self._seal(body) + b"\n" + body)
            beside.replace(self._path)
            _remove_old(self._path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()

    def _seal(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self._basis, digest_size=16).hexdigest().encode()


def cache_file(folders: Sequence[Path], kind: str) -> Path | None:
    """Return where answers of a kind about a list of catalog folders are kept, if there is a place at all."""
    if (base := cache_home()) is None:
        return None
    name = "\0".join([sys.prefix, *(os.path.abspath(folder) for folder in folders)])  # noqa: PTH100
    return base / f"{hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()}.{kind}"


def reading_code() -> bytes:
    """Return a digest of all but the catalog that an answer depends on.

    These are the sources that read catalogs, the versions of this package and of Python, and the installed
    packages: an installation changes the time of `site-packages` (`dist-packages` on Debian).

    Raises:
        OSError: if a source cannot be read.
    """
    package = Path(__file__).parents[1]
    told = hashlib.blake2b(f"{__version__}\0{sys.version}".encode(), digest_size=16)
    for folder in READING_CODE:
        for source in sorted((package / folder).glob("*.py")):
            told.update(f"\0{folder}/{source.name}\0".encode() + source.read_bytes())
    for packages in (Path(entry) for entry in sys.path if entry.endswith("-packages")):
        if packages.is_dir():
            told.update(f"\0{packages}\0{packages.stat().st_mtime_ns}".encode())
    return told.digest()


def _remove_old(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            path.unlink()
