"""Keep the compile cache whole and small."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import filelock

from neuron_catalog.errors import RequestError
from neuron_catalog.storage.cache import DOWNLOADS, ENTRIES, FAILURES, LOCKS, UNFINISHED, CompileCache, Entry
from neuron_catalog.storage.disk import abandoned


@dataclass(frozen=True)
class Verdict:
    """What was found of an entry."""

    digest: str
    entry: Entry | None
    altered: tuple[str, ...]
    """A sentence for each thing that is wrong."""


def verify(cache: CompileCache) -> Iterator[Verdict]:
    """Hold each entry to its digests, and its key to its name; yield what was found."""
    folder = cache.root / ENTRIES
    if not folder.is_dir():
        return
    for place in sorted(folder.iterdir()):
        if place.name.startswith("."):
            continue
        entry = cache.read(place.name)
        if entry is None:
            yield Verdict(place.name, None, ("it is no entry that this version can read",))
            continue
        altered = list(cache.altered(entry))
        try:
            if cache.key_of(entry).digest != entry.digest:
                altered.append("its key is another one")
        except RequestError as error:
            altered.append(error.cause)
        yield Verdict(place.name, entry, tuple(altered))


@dataclass(frozen=True)
class Removal:
    """What `collect` removed, and what is left."""

    removed: tuple[Entry, ...]
    kept: int
    kept_bytes: int


def collect(cache: CompileCache, max_bytes: int) -> Removal:
    """Keep the entries that were used last, each that fits into the rest of `max_bytes`; remove the others.

    What killed processes left behind goes too, and so do refusals that count no more.
    """
    _tidy(cache)
    taken, kept, removed = 0, 0, []
    for _, entry in cache.by_use():
        if taken + entry.bytes <= max_bytes:
            taken, kept = taken + entry.bytes, kept + 1
        else:
            cache.remove(entry.digest)
            removed.append(entry)
    return Removal(tuple(removed), kept, taken)


def _tidy(cache: CompileCache) -> None:
    for left in abandoned((cache.root / ENTRIES).glob(".*")):
        shutil.rmtree(left, ignore_errors=True)
    for path in (cache.root / FAILURES).glob("*"):
        if cache.failure(path.stem) is None:
            path.unlink(missing_ok=True)
    for kind, lock in ((UNFINISHED, ""), (DOWNLOADS, f".{DOWNLOADS}")):
        for folder in (cache.root / kind).glob("*"):
            held = filelock.FileLock(cache.lock_file(f"{folder.name}{lock}"), timeout=0)
            with suppress(filelock.Timeout, OSError), held:
                shutil.rmtree(folder, ignore_errors=True)
    for path in (cache.root / LOCKS).glob("*.lock"):
        with suppress(filelock.Timeout, OSError), filelock.FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
