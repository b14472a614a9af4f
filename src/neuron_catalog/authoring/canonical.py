"""The one way to write an architecture file: keys in the format's order, short things in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from neuron_catalog.schema.documents import Architecture

WIDTH = 110
HEADER = "# yaml-language-server: $schema=../../schemas/architecture.schema.json"
BEGINNING = re.compile(r"^[A-Za-z0-9_./(]")
BRACKETS = re.compile(r"[,\[\]{}]")


def architecture_text(document: Mapping[str, Any]) -> str:
    """Return the text of an architecture file; `document` has the keys of `Architecture`."""
    lines = [HEADER]
    for key in Architecture.model_fields:
        if key in document:
            lines += _entry(key, document[key], 0)
    return "\n".join(lines) + "\n"


def scalar(value: Any, bracketed: bool = True) -> str:
    """Write one value so that every reader of YAML understands the same; `bracketed` if within brackets."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        mantissa, _, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}" if exponent else mantissa
    if isinstance(value, int):
        return str(value)
    text = str(value)
    plain = BEGINNING.match(text) and not (bracketed and BRACKETS.search(text)) and _reads_as_itself(text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _reads_as_itself(text: str) -> bool:
    try:
        return bool(yaml.safe_load(f"key: {text}") == {"key": text})
    except yaml.YAMLError:
        return False


def flow(value: Any) -> str:
    """Write a value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


BLOCKS = {"tasks", "tiny", "requires"}
"""Keys whose entries stand below them, a line each."""


def _entry(key: str, value: Any, indent: int) -> list[str]:
    space = " " * indent
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
        return [f"{space}{key}:", *(line for item in value for line in _item(item, indent + 2))]
    if key in BLOCKS and indent == 0:
        below = (line for name, item in value.items() for line in _entry(name, item, indent + 2))
        return [f"{space}{key}:", *below]
    written = flow(value) if isinstance(value, (Mapping, list, tuple)) else scalar(value, bracketed=False)
    line = f"{space}{key}: {written}"
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        return [line]
    return [f"{space}{key}:", *_wrapped(value, indent + 2)]


def _item(item: Mapping[str, Any], indent: int) -> list[str]:
    line = f"{' ' * indent}- {flow(item)}"
    if len(line) <= WIDTH:
        return [line]
    first, *others = (line for key, value in item.items() for line in _entry(key, value, indent + 2))
    return [f"{' ' * indent}- {first.lstrip()}", *others]


def _wrapped(value: Mapping[str, Any], indent: int) -> Iterable[str]:
    """Write a mapping in brackets over as many lines as it needs, broken between its entries."""
    line = " " * indent + "{"
    for position, (key, item) in enumerate(value.items()):
        last = position == len(value) - 1
        part = f"{key}: {flow(item)}" + ("}" if last else ",")
        if len(line) + len(part) + 1 > WIDTH and not line.isspace() and line.strip() != "{":
            yield line.rstrip()
            line = " " * (indent + 1)
        line += part + ("" if last else " ")
    yield line
