"""An architecture has one canonical text, and it reads as what was written."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neuron_catalog.authoring.canonical import architecture_text, flow, scalar
from neuron_catalog.catalog.source import read_yaml

printable = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cc"]), max_size=30)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.none() | st.booleans() | numbers | printable)
def test_a_scalar_reads_as_itself_within_brackets_and_without(value):
    assert yaml.safe_load(f"key: {scalar(value, bracketed=False)}") == {"key": value}
    assert yaml.safe_load(f"key: {flow([value, value])}") == {"key": [value, value]}


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
