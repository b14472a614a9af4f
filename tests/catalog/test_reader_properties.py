"""Properties of the reader: what goes in comes out, nothing but CatalogError is raised, nothing surprises."""

import json
import math
import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuron_catalog.catalog.source import read_yaml
from neuron_catalog.errors import CatalogError

LINE_ENDS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
CORE_INT = re.compile(r"[-+]?[0-9]+")
CORE_OTHER = re.compile(
    r"~||null|Null|NULL|true|True|TRUE|false|False|FALSE|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
"""The plain scalars that YAML 1.2's core schema takes for something else than text."""

SURPRISES = [
    *(
        "1e-3",
        "1E3",
        "1.0e3",
        "0.5e3",
        "1.e+3",
        ".5e+3",
        "1.0e+999",
        "-1.0e-999",
        "1_0e+3",
        "1.0_0e+3",
        "e3",
        "1e-",
        "1e",
    ),
    *(".5", "5.", "-.5", "+1", "+1.5", "+.5", "-0", "-0.0", "0.1.2"),
    *("00", "007", "08", "0.10", "01.5", "0_1", "0o17", "0o8", "0x1F", "0x_", "0x", "0b11", "0b_", "0b2"),
    *("1_000", "1__0", "1_", "_1", "1_000.5", "1._5", "._5"),
    *(
        "12:30",
        "1:60",
        "190:20:30",
        "0:0",
        "-1:30",
        "1_0:30",
        "1_:3",
        "1:30.5",
        "1:30.5_0",
        "1:30._",
        "12:30.",
    ),
    *("2026-11-20", "2026-1-2", "2026-11-20T10:00:00Z", "2026-11-20 10:00:00", "1-1-1"),
    *("~", "null", "Null", "NULL", "nul", "yes", "Yes", "no", "NO", "on", "On", "off", "y", "Y", "n", "N"),
    *(
        "true",
        "True",
        "TRUE",
        "tRUE",
        "false",
        "False",
        ".inf",
        "-.inf",
        "+.Inf",
        ".INF",
        ".nan",
        ".NaN",
        "+.nan",
    ),
    *("=", "==", "<<", "<<<", "-", "--", ".", "..", "..."),
    *("999999999999999999", "9223372036854775808", "1234567890123456789.5", "0.1234567890123456789"),
]

YAML_WORDS = [
    *("a", "b", "(key)", "ü", "\U0001f600", "\ufeff", "\x00", "\x07", "@", "`", "\\"),
    *(" ", "  ", "\t", "\n", "\n  ", "\r\n", "\x85", "\u2028"),
    *("a: ", "a:", "b: ", ": ", "- ", "? ", "[", "]", "{", "}", ", ", "'", '"', "|\n", ">-\n", "#", " # "),
    *("&a ", "*a ", "!", "!!str ", "!!null", "<<: ", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! x:\n"),
]
yaml_words = st.sampled_from([*SURPRISES, *YAML_WORDS])
yaml_like = st.lists(yaml_words, max_size=25).map("".join)
number_like = st.text("0123456789+-._:eExob", max_size=9) | st.from_regex(
    r"[-+]?[0-9_]{0,3}[.:]?[0-9_]{0,3}([.:][0-9_]{0,2})?([eE][-+]?[0-9_]{1,3})?", fullmatch=True
)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    path = tmp_path_factory.mktemp("reader") / "file.yaml"

    def call(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_yaml(path)

    return call


def read_or_refuse(read, content):
    """Return (value, no findings) or (None, findings); whatever else is raised is a failure."""
    try:
        return read(content).value, ()
    except CatalogError as error:
        return None, error.findings


def shown(value):
    """Return a text that differs wherever values or their types do."""
    return json.dumps(value, ensure_ascii=True)


def quoted(text):
    return '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in text) + '"'


def dumped(value):
    """Write plain data as YAML that a strict reader must accept: text is quoted, each float has a point."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(dumped, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {dumped(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float):
        digits, e, exponent = repr(value).partition("e")
        return (digits if "." in digits else f"{digits}.0") + e + exponent
    return json.dumps(value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
floats = st.floats(-1e90, 1e90, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-90)
scalars = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | floats | texts
plain_data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(plain_data)
def test_plain_data_comes_back_unchanged(read, value):
    assert shown(read(dumped(value)).value) == shown(value)


@settings(max_examples=100, deadline=None)
@given(plain_data)
def test_what_pyyaml_writes_is_read_alike_or_refused(read, value):
    try:
        found = read(yaml.safe_dump(value, sort_keys=False)).value
    except CatalogError:
        return
    assert shown(found) == shown(value)


def assert_inside(finding, text):
    lines = LINE_ENDS.split(text)
    assert 1 <= finding.line <= len(lines), finding
    assert 1 <= finding.column <= len(lines[finding.line - 1]) + 1, finding


@settings(max_examples=500, deadline=None)
@given(yaml_like | st.text(max_size=60))
@example("(key): 1\nb: 2\n(key): 3\n")
@example("a: " + "9" * 5000)
@example("a: 1\nb: \x00")
@example("a: [")
@example("\ufeffa: yes")
def test_any_text_is_read_or_refused_at_a_place_inside_it(read, text):
    found, findings = read_or_refuse(read, text)
    if findings:
        for finding in findings:
            assert_inside(finding, text)
    else:
        assert shown(found) == shown(yaml.load(text, Loader=yaml.CSafeLoader))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(read, content):
    read_or_refuse(read, content)


def assert_as_in_core_schema(found, scalar):
    """Hold the value of a plain scalar to the core schema of YAML 1.2."""
    if isinstance(found, str):
        assert not CORE_INT.fullmatch(scalar)
        assert not CORE_OTHER.fullmatch(scalar)
    elif isinstance(found, bool) or found is None:
        assert json.loads(scalar) is found
    elif isinstance(found, int):
        assert CORE_INT.fullmatch(scalar)
        assert int(scalar) == found
    else:
        assert not CORE_INT.fullmatch(scalar)
        assert CORE_OTHER.fullmatch(scalar)
        assert math.isfinite(found)
        assert float(scalar) == found


def assert_plain_scalar_is_unambiguous(read, text):
    """Hold a value, if it is accepted, to YAML 1.1 as PyYAML reads it, and to YAML 1.2."""
    document = f"- {text}\n"
    found, findings = read_or_refuse(read, document)
    if findings:
        return
    assert shown(found) == shown(yaml.load(document, Loader=yaml.CSafeLoader))
    items = yaml.compose(document, Loader=yaml.CSafeLoader).value
    for item, node in zip(found, items, strict=True):
        if isinstance(node, yaml.ScalarNode) and not node.style:
            assert_as_in_core_schema(item, node.value)


@pytest.mark.parametrize("text", SURPRISES)
def test_known_traps_are_refused_or_mean_the_same_everywhere(read, text):
    assert_plain_scalar_is_unambiguous(read, text)


@settings(max_examples=600, deadline=None)
@given(number_like)
def test_what_looks_like_a_number_is_refused_or_means_the_same_everywhere(read, text):
    assert_plain_scalar_is_unambiguous(read, text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=12))
def test_any_plain_scalar_is_refused_or_means_the_same_everywhere(read, text):
    assert_plain_scalar_is_unambiguous(read, text)
