"""The one way to write an architecture file: keys in the format's order, short things in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from neuron_catalog.catalog.source import trap
from neuron_catalog.schema.documents import Architecture

WIDTH = 110
HEADER = "# yaml-language-server: $schema=../../schemas/architecture.schema.json"
MODELINE = re.compile(r"#[ \t]*yaml-language-server:[ \t]*\$schema=(?P<schema>\S+)")
"""The comment that tells an editor the schema, however it is written; `HEADER` is the canonical one."""

BEGINNING = re.compile(r"^[A-Za-z0-9_./(]")
BRACKETS = re.compile(r"[,\[\]{}?]")
"""What ends a plain value within brackets, for PyYAML's parser in Python also a question mark."""
UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What YAML does not allow in a file, or takes for the end of a line, and JSON writes as it is."""


def architecture_text(document: Mapping[str, Any]) -> str:
    """Return the text of an architecture file: the keys of `Architecture` in its order, then any others."""
    lines = [HEADER]
    known = [key for key in Architecture.model_fields if key in document]
    for key in dict.fromkeys((*known, *document)):
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
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _reads_as_itself(text: str) -> bool:
    if trap(text):
        return False
    try:
        return bool(yaml.safe_load(f"key: {text}") == {"key": text})
    except yaml.YAMLError:
        return False


def flow(value: Any) -> str:
    """Write a value in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


BLOCKS = {"tasks", "tiny", "requires"}
"""Keys whose entries stand below them, a line each."""


def _entry(key: str, value: Any, indent: int) -> list[str]:
    name = " " * indent + scalar(key, bracketed=False)
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Mapping) for item in value):
        return [f"{name}:", *(line for item in value for line in _item(item, indent + 2))]
    if key in BLOCKS and indent == 0 and isinstance(value, Mapping) and value:
        below = (line for each, item in value.items() for line in _entry(each, item, indent + 2))
        return [f"{name}:", *below]
    written = flow(value) if isinstance(value, (Mapping, list, tuple)) else scalar(value, bracketed=False)
    line = f"{name}: {written}"
    if len(line) <= WIDTH or not isinstance(value, Mapping) or not value:
        return [line]
    return [f"{name}:", *_wrapped(value, indent + 2)]


def _item(item: Mapping[str, Any], indent: int) -> list[str]:
    line = f"{' ' * indent}- {flow(item)}"
    if len(line) <= WIDTH or not item:
        return [line]
    first, *others = (line for key, value in item.items() for line in _entry(key, value, indent + 2))
    return [f"{' ' * indent}- {first.lstrip()}", *others]


def _wrapped(value: Mapping[str, Any], indent: int) -> Iterable[str]:
    """Write a mapping in brackets over as many lines as it needs, broken between its entries."""
    line = " " * indent + "{"
    for position, (key, item) in enumerate(value.items()):
        last = position == len(value) - 1
        part = f"{scalar(key)}: {flow(item)}" + ("}" if last else ",")
        if len(line) + len(part) + 1 > WIDTH and not line.isspace() and line.strip() != "{":
            yield line.rstrip()
            line = " " * (indent + 1)
        line += part + ("" if last else " ")
    yield line
