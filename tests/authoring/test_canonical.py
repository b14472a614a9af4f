"""An architecture has one canonical text, and it reads as what was written."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from neuron_catalog.authoring.canonical import architecture_text, flow, scalar
from neuron_catalog.catalog.source import parse_yaml, read_yaml
from neuron_catalog.schema.documents import Architecture

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
numbers = st.integers(-(10**17), 10**17) | st.floats(-1e90, 1e90).filter(lambda x: x == 0 or abs(x) > 1e-90)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
TRAPS = [
    "1e-3",
    "0o17",
    "1_000",
    "12:30",
    "True",
    "y",
    "\x85",
    "\u2028",
    "\x7f",
    "\ufeff",
    "\U0001f600",
    "a:",
    "<<",
]


def read(text):
    return parse_yaml(Path("toy.yaml"), text).value


def shown(value):
    """Return a text that differs wherever values or their types do."""
    return json.dumps(value)


@given(scalars)
@example("a?")
def test_a_scalar_reads_as_itself_within_brackets_and_without(value):
    for text, same in (
        (f"key: {scalar(value, bracketed=False)}", {"key": value}),
        (f"key: {flow([value, value])}", {"key": [value, value]}),
    ):
        assert yaml.safe_load(text) == same
        assert shown(read(text)) == shown(same)


@pytest.mark.parametrize("text", TRAPS)
def test_what_readers_of_yaml_understand_differently_is_quoted(text):
    written = flow({text: [text]})
    assert read(f"key: {written}") == yaml.safe_load(f"key: {written}") == {"key": {text: [text]}}


@given(st.dictionaries(st.sampled_from([*Architecture.model_fields, "another", "1e-3"]), values, min_size=1))
@example({"tasks": [1]})
@example({"tiny": {}, "requires": "x"})
@example({"limits": [{}]})
@example({"tasks": {"k" * 120: {}}})
@example({"limits": [{"k" * 120: {}, "b": [{"a": "word " * 30}]}]})
def test_any_document_reads_as_what_was_written(document):
    found = read(architecture_text(document))
    assert {key: shown(value) for key, value in found.items()} == {
        key: shown(value) for key, value in document.items()
    }


def test_keys_that_the_format_does_not_know_come_last():
    text = architecture_text({"unknown": 1, "architecture": "toy"})
    assert text.splitlines()[1:] == ["architecture: toy", "unknown: 1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-3, "0.001"),
        (1e-5, "1.0e-05"),
        (">=5.9", '">=5.9"'),
        ("no", '"no"'),
        ("A, b.", '"A, b."'),
        ("a: b", '"a: b"'),
    ],
)
def test_what_needs_quotes_gets_them(value, text):
    assert scalar(value) == text


def test_shipped_files_are_canonical(catalog):
    written = {
        name: architecture_text(read_yaml(catalog.file_of(name)).value) for name in catalog.architectures
    }
    assert [name for name, text in written.items() if catalog.file_of(name).read_text() != text] == []
