"""What tells one compilation from any other: named facts, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue


@dataclass(frozen=True)
class Difference:
    """A fact in which two keys differ; None where one has no such fact."""

    fact: str
    """Its place, with dots between: `backend.versions.torch`."""
    mine: str | None
    theirs: str | None


@dataclass(frozen=True)
class Key:
    """All that decides about the outcome of a compilation, by name."""

    facts: Mapping[str, JsonValue]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the facts as canonical JSON."""
        return hashlib.sha256(_written(dict(self.facts)).encode()).hexdigest()

    @cached_property
    def digests(self) -> dict[str, str]:
        """Fact → the first 16 digits of the SHA-256 of its value, to compare many keys by."""
        written = {fact: _written(value) for fact, value in self.facts.items()}
        return {fact: hashlib.sha256(text.encode()).hexdigest()[:16] for fact, text in written.items()}

    @cached_property
    def _flat(self) -> dict[str, str]:
        return {place: _written(value) for place, value in _leaves("", dict(self.facts))}

    def differences(self, other: Key) -> tuple[Difference, ...]:
        """Return the facts that differ; those that hold for the whole first."""
        mine, theirs = self._flat, other._flat
        return tuple(
            Difference(place, mine.get(place), theirs.get(place))
            for place in sorted({*mine, *theirs}, key=lambda place: (place.count("."), place))
            if mine.get(place) != theirs.get(place)
        )


def key_written(content: bytes) -> Key:
    """Read the facts of a key.

    Raises:
        ValueError: if it is none.
    """
    try:
        facts = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(facts, dict):
        raise ValueError("a key is an object")
    return Key(facts)


def _leaves(place: str, value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    if not isinstance(value, (dict, list)) or not value:
        yield place, value
        return
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in parts:
        yield from _leaves(f"{place}.{name}" if place else str(name), part)


def _written(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
