"""What an export would do: take an artifact from the compile cache, or compile it, and why."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from neuron_catalog.exporting.caching import key_of
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.storage.cache import Entry, Failure, usual_cache
from neuron_catalog.storage.keys import Difference, Key

UNTOLD = "The model is made by code of its checkpoint: nothing tells it from others but loading it."
"""Why there is no key."""


@dataclass(frozen=True)
class Forecast:
    """What the cache knows of an export."""

    key: Key | None = None
    why_not: str = ""
    """Why the cache takes no part, if it does not."""
    entry: Entry | None = None
    """What would be taken."""
    failure: Failure | None = None
    """The refusal that would be repeated."""
    nearest: Entry | None = None
    """The entry that differs in the fewest facts, if there is none of the key."""
    differences: tuple[Difference, ...] = ()
    """In which facts that one differs."""


def forecast(resolved: Resolved, validation: bool, use_cache: bool = True) -> Forecast:
    """Look an export up in the compile cache; nothing is written.

    Raises:
        RequestError: if an option of the compiler is missing, or the checkpoint cannot be read.
    """
    resolved.require_compilable()
    cache = usual_cache() if use_cache else None
    if cache is None:
        return Forecast(why_not="The compile cache is turned off.")
    key = future_key(resolved, validation)
    if key is None:
        return Forecast(why_not=UNTOLD)
    if entry := cache.find(key):
        return Forecast(key, entry=entry)
    failure, nearest = cache.failure(key.digest), cache.nearest(key)
    if nearest is None:
        return Forecast(key, failure=failure)
    return Forecast(key, failure=failure, nearest=nearest, differences=key.differences(cache.key_of(nearest)))


def future_key(resolved: Resolved, validation: bool) -> Key | None:
    """Return the key that an export would have; None if its weights cannot be told without loading.

    Raises:
        RequestError: if the checkpoint cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        resolved.source.copy_preprocessing(Path(folder))
        return key_of(resolved, validation, Path(folder).iterdir())
