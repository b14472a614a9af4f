"""The compile cache: finished artifacts by all that decides about them.

An entry is a folder that is named by the digest of its key: the files of an artifact, `key.json` with all
facts of the key, and `entry.json` with what lists need and the digest of each file. It is published by one
rename, so it is there whole or not at all; what another hand altered is found by its digest, and removed.
Nothing here makes an export fail: a cache that cannot be read or written costs time only.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Literal

import filelock
import pydantic
from pydantic import JsonValue

from neuron_catalog.digests import FileName, FileRecord, alteration, record_file
from neuron_catalog.errors import CompileError, RequestError
from neuron_catalog.parts import Record
from neuron_catalog.storage.home import compile_cache_home
from neuron_catalog.storage.keys import Key, key_written
from neuron_catalog.storage.publish import publication

ENTRY, KEY = "entry.json", "key.json"
ENTRIES, LOCKS, FAILURES = "entries", "locks", "failures"
UNFINISHED, DOWNLOADS = "unfinished", "downloads"
"""Folders of what is not all there: graphs of interrupted exports, entries from a store."""

FAILURE_SECONDS = 24 * 3600
"""A compiler's refusal is believed for so long."""


class Entry(Record):
    """What `entry.json` says."""

    format: Literal[1] = 1
    digest: str
    """Of the key."""
    title: dict[str, JsonValue]
    """What a list shows: architecture, task, backend, axes."""
    facts: dict[str, str]
    """Fact of the key → a digest of its value, to find near keys by."""
    files: dict[FileName, FileRecord]
    made: float
    """Seconds since the epoch."""

    @property
    def bytes(self) -> int:
        """What the artifact takes."""
        return sum(record.bytes for record in self.files.values())


class Failure(Record):
    """A compiler's refusal."""

    format: Literal[1] = 1
    cause: str
    remedy: str
    made: float

    @property
    def counts(self) -> bool:
        """Whether it is young enough; one from the future is not believed, a clock was wrong."""
        return 0 <= time.time() - self.made < FAILURE_SECONDS


@dataclass(frozen=True)
class CompileCache:
    """A folder of entries. Several processes may use it at once."""

    root: Path

    def find(self, key: Key) -> Entry | None:
        """Return the entry of a key; its files were not looked at yet."""
        return self.read(key.digest)

    def read(self, digest: str) -> Entry | None:
        """Return the entry of the key with this digest."""
        try:
            entry = Entry.model_validate_json(Path(self._entries, digest, ENTRY).read_bytes())
        except (OSError, pydantic.ValidationError):
            return None
        return entry if entry.digest == digest else None

    def fetch(self, key: Key, folder: Path) -> Entry | None:
        """Copy the files of an entry into `folder`, and hold the copies to their digests.

        Return nothing if there is no whole entry. One that was altered is removed.

        Raises:
            OSError: if `folder` cannot be written.
        """
        entry = self.find(key)
        if entry is None:
            return None
        for name, recorded in entry.files.items():
            if not _copied(self.place(key.digest) / name, folder / name, recorded):
                self.discard(entry, folder)
                return None
        with suppress(OSError):
            os.utime(self.place(key.digest))  # when it was used last
        return entry

    def discard(self, entry: Entry, folder: Path) -> None:
        """Remove an entry that is not what it should be, and the copies of its files in `folder`."""
        self.remove(entry.digest)
        for name in entry.files:
            (folder / name).unlink(missing_ok=True)

    def keep(self, key: Key, title: Mapping[str, JsonValue], folder: Path, names: Iterable[str]) -> bool:
        """Keep files of an artifact under a key; return whether that could be done."""
        place = self.place(key.digest)
        try:
            with publication(place, overwrite=True) as partial:
                for name in names:
                    shutil.copyfile(folder / name, partial / name)
                files = {path.name: record_file(path) for path in sorted(partial.iterdir())}
                (partial / KEY).write_text(json.dumps(key.facts), encoding="utf-8")
                entry = Entry(
                    digest=key.digest,
                    title=dict(title),
                    facts=key.digests,
                    files=files,
                    made=time.time(),
                )
                (partial / ENTRY).write_text(entry.model_dump_json(), encoding="utf-8")
        except (OSError, RequestError):
            return False
        return True

    def adopt(self, digest: str, folder: Path) -> None:
        """Make a whole folder of the same disk an entry."""
        self.place(digest).parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(self.place(digest))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                raise
            shutil.rmtree(folder, ignore_errors=True)

    def entries(self) -> Iterator[Entry]:
        """Yield all entries, in no order. What is no entry of this version is passed over."""
        return (entry for _, entry in self._listed())

    def by_use(self) -> list[tuple[float, Entry]]:
        """Return all entries, what was used last first, each with the time in seconds since the epoch.

        An entry is used when it is made, and whenever it is fetched.
        """
        return sorted(self._listed(), key=itemgetter(0), reverse=True)

    def _listed(self) -> Iterator[tuple[float, Entry]]:
        with suppress(OSError), os.scandir(self._entries) as found:
            for each in found:
                entry = None if each.name.startswith(".") else self.read(each.name)
                with suppress(FileNotFoundError):  # removed meanwhile
                    if entry is not None:
                        yield each.stat().st_mtime, entry

    def key_of(self, entry: Entry) -> Key:
        """Return the key of an entry.

        Raises:
            RequestError: if it cannot be read.
        """
        path = self.place(entry.digest) / KEY
        try:
            return key_written(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RequestError(f"{path} cannot be read.", "Run `neuron-catalog cache verify`.") from error

    def nearest(self, key: Key) -> Entry | None:
        """Return the entry that differs in the fewest facts, the one used last among several."""
        wanted = key.digests.items()
        return min(
            self.entries(), key=lambda entry: (len(wanted ^ entry.facts.items()), -entry.made), default=None
        )

    def similar(self, key: Key, but_for: Container[str]) -> Entry | None:
        """Return a whole entry that differs from a key in nothing but these facts, the newest of several."""
        wanted = {fact: digest for fact, digest in key.digests.items() if fact not in but_for}
        found = [entry for entry in self.entries() if wanted.items() <= entry.facts.items()]
        newest_first = sorted(found, key=attrgetter("made"), reverse=True)
        return next((entry for entry in newest_first if not self.altered(entry)), None)

    def altered(self, entry: Entry) -> tuple[str, ...]:
        """Return a sentence for each file of an entry that is not what was kept."""
        place = self.place(entry.digest)
        told = (alteration(place / name, recorded) for name, recorded in entry.files.items())
        return tuple(filter(None, told))

    def remove(self, digest: str) -> None:
        """Remove an entry: out of sight in one step, then its files."""
        place = self.place(digest)
        gone = place.with_name(f".{place.name}.partial-gone-{os.getpid()}-{time.monotonic_ns()}")
        with suppress(OSError):
            place.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    @contextmanager
    def lock(self, digest: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Let one process at a time work on an entry; the lock goes with the process that holds it."""
        lock = filelock.FileLock(self.lock_file(digest))
        try:
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                on_wait()
                lock.acquire()
        except (OSError, NotImplementedError):  # a place without locks: then two may compile the same
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def failure(self, digest: str) -> Failure | None:
        """Return how compiling for the key with this digest failed lately."""
        try:
            failure = Failure.model_validate_json(self._failure(digest).read_bytes())
        except (OSError, pydantic.ValidationError):
            return None
        return failure if failure.counts else None

    def keep_failure(self, key: Key, error: CompileError) -> None:
        """Remember how compiling for a key failed."""
        failure = Failure(cause=error.cause, remedy=error.remedy, made=time.time())
        path = self._failure(key.digest)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(failure.model_dump_json(), encoding="utf-8")
            beside.replace(path)

    def lock_file(self, digest: str) -> Path:
        """Return the file that is locked by who works on an entry."""
        return self.root / LOCKS / f"{digest}.lock"

    def unfinished(self, digest: str) -> Path:
        """Return the folder of what was compiled of an entry so far; it may not be there."""
        return self.root / UNFINISHED / digest

    def place(self, digest: str) -> Path:
        """Return the folder of an entry."""
        return Path(self._entries, digest)

    @cached_property
    def _entries(self) -> str:
        """The folder of all entries, as text: a list of many joins it with many names."""
        return str(self.root / ENTRIES)

    def _failure(self, digest: str) -> Path:
        return self.root / FAILURES / f"{digest}.json"


def _copied(source: Path, target: Path, recorded: FileRecord) -> bool:
    """Copy a file; return whether the copy is what was recorded."""
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        if error.filename != str(source):
            raise
        return False
    return not alteration(target, recorded)


def usual_cache() -> CompileCache | None:
    """Return the compile cache of this user, unless it was turned off."""
    home = compile_cache_home()
    return CompileCache(home) if home else None
