"""Spell values of one meaning, which the strict reader refuses all the same, as it wants them.

`True` and `.5` are the same in YAML 1.1 and in YAML 1.2, so they have one fix. `no` and `1e-3` are text to
some readers and not to others: only the author knows what was meant, and they are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from neuron_catalog.authoring.canonical import scalar
from neuron_catalog.catalog.source import parse_yaml, trap
from neuron_catalog.errors import CatalogError

CONSTANTS = {
    **dict.fromkeys(("True", "TRUE"), "true"),
    **dict.fromkeys(("False", "FALSE"), "false"),
    **dict.fromkeys(("Null", "NULL", "~"), "null"),
}
NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+")
"""A sign before a bare point is no number: PyYAML takes -.5 for text."""


def respelled(path: Path, text: str) -> str:
    """Return `text` with unambiguous values spelled as the strict reader wants them.

    Raises:
        CatalogError: if the reader refuses the text for anything else than ambiguous values.
    """
    try:
        parse_yaml(path, text)
    except CatalogError as error:
        if any(finding.code != "NC110" for finding in error.findings):
            raise
    else:
        return text
    text = text.removeprefix("\ufeff")  # the parser's positions do not count it
    for node in reversed([*_plain_values(yaml.compose(text, Loader=yaml.CSafeLoader))]):
        if spelled := _spelled(node.value):
            text = text[: node.start_mark.index] + spelled + text[node.end_mark.index :]
    return text


def _plain_values(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _plain_values(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _plain_values(item)
    elif isinstance(node, yaml.ScalarNode) and not node.style:
        yield node


def _spelled(text: str) -> str:
    """Return the spelling of a refused value that has one meaning, otherwise nothing."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if not NUMBER.fullmatch(text) or not trap(text):
        return ""
    return scalar(float(text) if "." in text else int(text))
