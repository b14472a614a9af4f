"""Share the compile cache through a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pydantic

from neuron_catalog.errors import VerificationError
from neuron_catalog.storage.cache import DOWNLOADS, ENTRIES, ENTRY, KEY, CompileCache, Entry
from neuron_catalog.storage.keys import key_written
from neuron_catalog.storage.stores import Store


def push(cache: CompileCache, store: Store, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bool]]:
    """Write entries to a store; yield each, and whether it had not been there.

    Raises:
        RequestError: if the store cannot be reached, or refuses.
        VerificationError: if an entry was altered.
    """
    for entry in entries:
        place = _place(store, entry.digest)
        if place.read(ENTRY) is not None:
            yield entry, False
            continue
        if altered := cache.altered(entry):
            raise VerificationError(
                f"{entry.digest[:16]} was altered: {'; '.join(altered)}.",
                "Run `neuron-catalog cache verify`.",
            )
        place.upload(cache.place(entry.digest), [*entry.files, KEY], ENTRY)
        yield entry, True


def there(store: Store) -> list[str]:
    """Return the digests of the keys of which a store has an entry.

    Raises:
        RequestError: if it cannot be reached, or refuses.
    """
    return store.inner(ENTRIES).names()


def pull(cache: CompileCache, store: Store, digest: str) -> Entry | None:
    """Bring the entry of a key into the cache, unless it is there; return nothing if the store has none.

    An interrupted one goes on where it was.

    Raises:
        RequestError: if the store cannot be reached, or refuses, or the cache cannot be written.
        VerificationError: if the entry is not what it says.
    """
    if entry := cache.read(digest):
        return entry
    place = _place(store, digest)
    raw = place.read(ENTRY)
    if raw is None:
        return None
    entry = _understood(raw, digest, store)
    key = place.read(KEY) or b""
    if not _is_key(key, digest):
        raise VerificationError(f"The key of {digest[:16]} in {store.url} is another one.", "Do not use it.")
    waiting = cache.root / DOWNLOADS / digest
    with cache.lock(f"{digest}.{DOWNLOADS}", _nothing):  # who compiles the entry holds its own lock
        if found := cache.read(digest):
            return found
        waiting.mkdir(parents=True, exist_ok=True)
        for name, recorded in entry.files.items():
            place.download(name, waiting / name, recorded)
        (waiting / KEY).write_bytes(key)
        (waiting / ENTRY).write_bytes(raw)
        cache.adopt(digest, waiting)
    return entry


def _nothing() -> None:
    """Wait in silence for another process that brings the same."""


def _place(store: Store, digest: str) -> Store:
    return store.inner(f"{ENTRIES}/{digest}")


def _understood(raw: bytes, digest: str, store: Store) -> Entry:
    try:
        entry = Entry.model_validate_json(raw)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]["msg"]
        raise VerificationError(
            f"{digest[:16]} in {store.url} cannot be read: {first}.", "Upload it again."
        ) from None
    if entry.digest != digest:
        raise VerificationError(
            f"{digest[:16]} in {store.url} is the entry of another key.", "Do not use it."
        )
    return entry


def _is_key(content: bytes, digest: str) -> bool:
    try:
        return key_written(content).digest == digest
    except ValueError:
        return False
