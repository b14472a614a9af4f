"""What the card of a checkpoint, its README.md, says of its license and its languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import yaml
from huggingface_hub import hf_hub_download

from neuron_catalog.errors import RequestError
from neuron_catalog.inventory import CARD_NAME
from neuron_catalog.models.sources import CheckpointSource, hub_errors

TAKEN_OVER = ("license", "license_name", "license_link", "language")

MOST_BYTES = 2**20
"""A longer card is not read."""

LONGEST = 500
"""Nothing that is taken over has more characters, or more entries."""

BLOCK = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
"""The YAML at the beginning of a card."""

Said = dict[str, str | list[str]]

Value = str | list[str] | None


def said_of_license(source: object, revision: str | None) -> Said:
    """Return what the card of a source says of license and languages; nothing if it cannot be read.

    `revision` is the commit of a repository of the hub. A tiny model has no card.
    """
    return front_matter(_card(source, revision)) if isinstance(source, CheckpointSource) else {}


def _card(source: CheckpointSource, revision: str | None) -> str:
    path = Path(source.model) / CARD_NAME
    try:
        if not Path(source.model).is_dir():
            with hub_errors(source.model):
                path = Path(
                    hf_hub_download(
                        source.model,
                        CARD_NAME,
                        revision=revision,
                        token=source.token,
                        cache_dir=source.cache_dir,
                    )
                )
        if path.stat().st_size > MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except (RequestError, OSError):  # it has none, or the hub is away meanwhile
        return ""


def front_matter(card: str) -> Said:
    """Return what is taken over from the YAML of a card, as it is written there: `no` is Norwegian.

    Its events are read, and no object is made: aliases, tags and deep nesting cost nothing.
    """
    found = BLOCK.match(card)
    if found is None:
        return {}
    try:
        children = [*_children(yaml.parse(found[1], Loader=yaml.CSafeLoader))]
    except yaml.YAMLError:
        return {}
    said = {key: value for key, value in zip(children[::2], children[1::2], strict=False) if _is_text(key)}
    return {name: value for name in TAKEN_OVER if (value := said.get(name)) and _usable(name, value)}


def _is_text(key: Value) -> TypeGuard[str]:
    return isinstance(key, str)


def _usable(name: str, value: str | list[str]) -> bool:
    if isinstance(value, list) and name not in ("license", "language"):
        return False
    texts = value if isinstance(value, list) else [value]
    return 0 < len(texts) <= LONGEST and all(0 < len(text) <= LONGEST for text in texts)


def _children(events: Iterator[yaml.Event]) -> Iterator[Value]:
    """Yield what stands in the outermost mapping, keys and values in turn: a text, the texts of a list that
    has no others, or None."""
    depth = 0
    listed: list[str] | None = None
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            in_sequence = isinstance(event, yaml.SequenceStartEvent)
            if depth == 1 and in_sequence:
                return
            listed = [] if depth == 2 and in_sequence else None
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
            if depth == 1:
                yield listed
        elif isinstance(event, yaml.NodeEvent) and depth == 1:
            yield _text(event)
        elif isinstance(event, yaml.NodeEvent) and listed is not None:
            listed.append(_text(event))


def _text(event: yaml.Event) -> str:
    """Return a text, which is empty for what is none."""
    if not isinstance(event, yaml.ScalarEvent):
        return ""
    nothing = event.implicit[0] and event.value.lower() in ("", "~", "null")
    return "" if nothing else str(event.value)
