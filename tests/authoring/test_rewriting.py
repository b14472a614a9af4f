"""Rewriting changes spelling and order and nothing else: values stay, comments stay, twice is once."""

import json
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuron_catalog.authoring.canonical import HEADER
from neuron_catalog.authoring.comments import comments_of
from neuron_catalog.authoring.rewriting import canonical_form, rewrite, rewrite_all
from neuron_catalog.catalog.source import parse_yaml
from neuron_catalog.errors import CatalogError
from neuron_catalog.schema.documents import Architecture

PATH = Path("architectures/toy.yaml")

UNTIDY = """\
# Thanks to Kim.
# yaml-language-server:  $schema=schema.json
family: 'toys'   # of modality text

# Named after its smell.
architecture: "toy"
tiny:
    # sizes of the test
    axes: {batch_size: 2, # two rows
           sequence_length: 16}
    config:  # as upstream
        vocab_size: 99
        # not in config.json
        ratio: .5
tasks: {fill-mask: [logits]}  # more to come
limits:
- axis: sequence_length  # counted
  at_most: max_position_embeddings
summary: >
  A toy.
# That is all.
"""

TIDY = """\
# yaml-language-server: $schema=../../schemas/architecture.schema.json
# Thanks to Kim.
# Named after its smell.
architecture: toy
family: toys  # of modality text
summary: "A toy.\\n"
limits:
  - {axis: sequence_length, at_most: max_position_embeddings}  # counted
tasks:  # more to come
  fill-mask: [logits]
tiny:
  # sizes of the test
  axes: {batch_size: 2, sequence_length: 16}  # two rows
  # not in config.json
  config: {vocab_size: 99, ratio: 0.5}  # as upstream
# That is all.
"""


def form(text):
    return canonical_form(PATH, text)


def shown(value):
    """Return what differs wherever values or their types do, the order of the top keys left out."""
    return {key: json.dumps(item) for key, item in value.items()}


def test_a_file_gets_the_canonical_form_with_its_comments():
    written = form(UNTIDY)
    assert written == TIDY
    assert form(written) == written


def test_what_is_canonical_stays(catalog):
    names = [name for name in catalog.architectures if rewrite(catalog.file_of(name))]
    assert names == []


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("", HEADER),
        ("#yaml-language-server: $schema=x.json\n", HEADER),
        (
            "# yaml-language-server:   $schema=https://a.b/c\n",
            "# yaml-language-server: $schema=https://a.b/c",
        ),
    ],
)
def test_the_header_names_the_schema_beside_the_catalog_or_one_on_the_web(line, first):
    assert form(f"{line}architecture: toy\n") == f"{first}\narchitecture: toy\n"


def test_a_header_below_other_comments_comes_first():
    text = "architecture: toy  # a\n# b\n# yaml-language-server: $schema=x\n"
    assert form(text) == f"{HEADER}\narchitecture: toy  # a\n# b\n"


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        *(("True", "true"), ("TRUE", "true"), ("False", "false"), ("FALSE", "false")),
        *(("Null", "null"), ("NULL", "null"), ("~", "null")),
        *(("+1", "1"), (".5", "0.5"), ("5.", "5.0"), ("-5.", "-5.0"), ("+1.5", "1.5")),
    ],
)
def test_what_has_one_meaning_in_every_yaml_is_spelled_out(written, spelled):
    text = f"\ufeffatol: {written}  # x\ncures: [{written}, {{a: {written}}}]\n"
    assert form(text) == f"{HEADER}\ncures: [{spelled}, {{a: {spelled}}}]\natol: {spelled}  # x\n"


@pytest.mark.parametrize(
    "value", ["no", "tRUE", "1e-3", "1.0e3", "0x1F", "012", "1_000", "12:30", "", "=", "-.5", "+.5"]
)
def test_what_only_its_author_understands_is_left(value):
    with pytest.raises(CatalogError):
        form(f"atol: {value}\n")


@pytest.mark.parametrize("text", ["True: 1\n", "a: True\nb: &x 1\n", "a: True\na: 1\n", "a: [True\n"])
def test_spelling_mends_nothing_else(text):
    with pytest.raises(CatalogError):
        form(text)


@pytest.mark.parametrize("text", ["[1,   2]\n", "{  }\n", "text # x\n", "null\n"])
def test_what_is_no_architecture_stays(text):
    assert form(text) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tiny: {ratio: 123456789012345678.0e+99}\n", "line 3 would be refused: ambiguous value"),
        ("tiny: {" + ", ".join(f"{i}a: [{{}},1]" for i in range(4300)) + "}", "more than 65536 bytes"),
    ],
)
def test_what_cannot_be_written_alike_is_refused(text, reason):
    with pytest.raises(CatalogError) as caught:
        form(text)
    assert f"{PATH}:1:1: NC111 cannot be rewritten: " in str(caught.value)
    assert reason in str(caught.value)


def test_rewriting_keeps_mode_and_links_and_leaves_nothing_else(tmp_path):
    file = tmp_path / "toy.yaml"
    link = tmp_path / "link.yaml"
    file.write_text(UNTIDY)
    file.chmod(0o640)
    link.symlink_to(file)
    assert (rewrite(link), rewrite(link)) == (True, False)
    assert file.read_text() == form(UNTIDY)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "toy.yaml"]


def test_a_file_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    file = tmp_path / "toy.yaml"
    file.write_text(UNTIDY)

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(CatalogError, match="NC111 cannot be rewritten: Permission denied"):
        rewrite(file)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]
    assert file.read_text() == UNTIDY


def test_only_architectures_are_rewritten_and_broken_ones_told(tmp_path):
    for name, text in {
        "architectures/a": UNTIDY,
        "architectures/b": "a: [",
        "families/c": "b:   1\n",
        "components/d": "component:   'd'\n",
        "pipelines/e": "pipeline:   'e' # e\n",
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    files = [tmp_path / "architectures" / "a.yaml", *sorted(tmp_path.rglob("*.yaml"))]
    rewritten, findings = rewrite_all(files)
    assert rewritten == (files[0],)
    assert [(finding.file.name, finding.code) for finding in findings] == [("b.yaml", "NC103")]
    assert (tmp_path / "families" / "c.yaml").read_text() == "b:   1\n"
    assert (tmp_path / "components" / "d.yaml").read_text() == "component:   'd'\n"
    assert (tmp_path / "pipelines" / "e.yaml").read_text() == "pipeline:   'e' # e\n"


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["fill-mask", "a: b", "x # y", "1e-3", "no", "word " * 25]
)
scalars = st.none() | st.booleans() | st.integers(-999, 999) | st.floats(-9, 9, width=16).map(float) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=12,
)
keys = st.sampled_from([*Architecture.model_fields, "another", "# no comment"])
printable = st.characters(
    min_codepoint=32,
    exclude_categories=["Cs", "Cc"],
    exclude_characters="\x7f\x85\u2028\u2029\ufeff\ufffe\uffff",
)
comments = st.text(printable, max_size=8).map("#{}".format) | st.sampled_from(
    ["# yaml-language-server: $schema=x", "# yaml-language-server: $schema=https://x", "#", "# a # b"]
)


class Writer:
    """Writes data as YAML in as many ways as there are choices, with comments wherever they may stand."""

    def __init__(self, draw):
        self.draw = draw

    def any_of(self, *choices):
        return self.draw(st.sampled_from(choices))

    def comment(self):
        return self.draw(comments)

    def line_end(self, indent):
        """End a line, perhaps with a comment, perhaps followed by lines of comments."""
        text = self.any_of("", "", " ", "  #")
        text = (text.replace("#", self.comment()) if "#" in text else text) + "\n"
        while self.any_of(False, False, False, True):
            comment = self.comment() if self.any_of(False, True) else ""
            text += " " * self.draw(st.integers(0, 6)) + comment + "\n"
        return text

    def gap(self, indent):
        """Write what may stand between two parts of a value in brackets."""
        blank = self.any_of("", " ", "\n")
        return self.line_end(indent) + " " * indent if "\n" in blank else blank

    def scalar(self, value):
        if isinstance(value, str):
            if value.isalpha() and value.isascii() and parsed(value) == value and self.any_of(True, False):
                return self.any_of(value, f"'{value}'")
            return (
                '"' + "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08x}" for c in value) + '"'
            )
        return json.dumps(value)

    def flow(self, value, indent):
        if isinstance(value, list):
            items = [self.gap(indent) + self.flow(item, indent) + self.gap(indent) for item in value]
            return "[" + ",".join(items) + "]"
        if isinstance(value, dict):
            items = [
                f"{self.gap(indent)}{self.scalar(key)}: {self.gap(indent)}{self.flow(item, indent)}"
                for key, item in value.items()
            ]
            return "{" + (self.gap(indent) + ",").join(items) + self.gap(indent) + "}"
        return self.scalar(value)

    def below(self, value, indent):
        """Write a value after a key or a dash."""
        if not isinstance(value, (list, dict)) or not value or self.any_of(True, False):
            return " " + self.flow(value, indent + 1) + self.line_end(indent)
        return self.line_end(indent) + self.block(value, indent + self.any_of(1, 2, 4))

    def block(self, value, indent):
        space = " " * indent
        if isinstance(value, list):
            return "".join(f"{space}-{self.below(item, indent)}" for item in value)
        return "".join(f"{space}{self.scalar(key)}:{self.below(item, indent)}" for key, item in value.items())


def parsed(text):
    try:
        return parse_yaml(PATH, text).value
    except CatalogError:
        return None


@st.composite
def documents(draw):
    writer = Writer(draw)
    start = draw(st.sampled_from(["", "---\n", "--- # first\n"]))
    return start + writer.line_end(0) + writer.block(draw(st.dictionaries(keys, values, min_size=1)), 0)


def texts_of(text):
    return sorted(c.text for c in comments_of(text) if "yaml-language-server" not in c.text)


@settings(max_examples=150, deadline=None)
@given(documents())
@example(UNTIDY)
def test_values_and_comments_stay_and_twice_is_once(text):
    before = parse_yaml(PATH, text).value if text != UNTIDY else yaml.safe_load(text)
    written = form(text)
    assert shown(parse_yaml(PATH, written).value) == shown(before)
    assert texts_of(written) == texts_of(text)
    assert form(written) == written
