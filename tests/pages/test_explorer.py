"""The text of a page, without a browser: one file that reaches for nothing, and data that stay data."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.pages.sweeps import HOSTILE, data_of

from neuron_catalog.pages import explorer
from neuron_catalog.pages.explorer import Column, Page, State, page_text

PAGE = Page(
    title="A page",
    lead="Some rows.",
    noun="row",
    same="rows.md",
    columns=(
        Column(key="name", title="Name", searched=True),
        Column(key="state", title="State", kind="state", filtered=True),
        Column(key="size", title="Size", kind="number"),
    ),
    rows=[("a", "fine", 1.5), ("b", "fine", None), ("a", "bad", 2.0)],
    states={"fine": State("fine", "✓", "good"), "bad": State("bad", "✗", "bad")},
    good=("fine",),
    goal="fine",
)


def test_values_are_written_in_short():
    name, state, size = json.loads(data_of(page_text(PAGE)))["values"]
    assert name == {"words": ["a", "b"], "of": [0, 1, 0]}
    assert state == {"words": ["fine", "bad"], "of": [0, 0, 1]}
    assert size == [1.5, None, 2]


def test_the_same_page_is_the_same_text():
    assert page_text(PAGE) == page_text(replace(PAGE, rows=[list(row) for row in PAGE.rows]))


@given(st.text())
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[2])
@example(HOSTILE[5])
@example("<!--<script>")
def test_no_text_ends_the_data_or_becomes_html(text):
    made = page_text(replace(PAGE, title=text, lead=text, rows=[(text, "fine", 1)], facts=((text, text),)))
    found = data_of(made)
    assert not set(found) & set("<>&\u2028\u2029")
    assert json.loads(found)["values"][0]["words"] == [text]
    head, tail = made.split(found)
    assert head.count("<script") == page_text(PAGE).split(data_of(page_text(PAGE)))[0].count("<script")
    assert "<img" not in head + tail


def test_nothing_but_its_own_scripts_and_styles_is_allowed():
    made = page_text(PAGE)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)[1]
    said = dict(part.split(" ", 1) for part in policy.split("; "))
    assert said["default-src"] == said["base-uri"] == said["form-action"] == "'none'"
    for kind, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        texts = re.findall(rf"{tag}(.*?)</", made, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert said[kind].split() == [f"'sha256-{digest}'" for digest in digests]
    assert "unsafe" not in policy


def test_a_page_reaches_for_nothing():
    made = page_text(PAGE)
    assert set(re.findall(r"https?://[^\"'\s)]+", made)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<link|<iframe|<object|\ssrc=|@import|url\(", made)
    assert "rows.md has the same facts" in re.search(r"<noscript>(.*?)</noscript>", made)[1]


def test_scripts_never_make_html_of_texts():
    for path in (explorer.HERE / "script").glob("*.js"):
        code = path.read_text(encoding="utf-8")
        ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.on\w+ ?="
        assert not re.search(ways, code), path.name


def test_every_file_of_the_folder_is_in_the_page():
    there = {path.stem for path in (explorer.HERE / "script").glob("*.js")}
    assert there == {*explorer.SCRIPTS, "theme"}
    assert {path.stem for path in (explorer.HERE / "style").glob("*.css")} == {*explorer.STYLES}


@pytest.mark.parametrize("row", [("a", "fine"), ("a", "what", 1)])
def test_a_row_that_does_not_fit_is_refused(row):
    with pytest.raises(ValueError, match=r"one value for each column|'what' is no state"):
        page_text(replace(PAGE, rows=[row]))


def test_a_number_that_json_has_not_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        page_text(replace(PAGE, rows=[("a", "fine", float("nan"))]))


def test_no_file_is_longer_than_the_house_allows():
    for path in Path(explorer.HERE).rglob("*.*"):
        if path.suffix in (".js", ".css", ".py", ".j2"):
            assert len(path.read_text(encoding="utf-8").splitlines()) < 300, path.name
