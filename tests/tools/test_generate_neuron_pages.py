"""The pages about the SDK are current, and say everything that the data says."""

import re
import runpy
from pathlib import Path

import pytest

from neuron_catalog.sdk.compiler_errors import compiler_errors
from neuron_catalog.sdk.operators import operators

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "generate_neuron_pages.py"))


@pytest.fixture(scope="module")
def pages():
    return {path.stem: text for path, text in TOOL["page_texts"]().items()}


def test_pages_are_current():
    assert TOOL["stale"]() == []


def test_a_changed_and_a_missing_page_are_stale(tmp_path, monkeypatch):
    monkeypatch.setitem(TOOL["stale"].__globals__, "DOCS", tmp_path)
    changed, missing = sorted(TOOL["page_texts"]())
    changed.write_text("", encoding="utf-8")
    assert sorted(TOOL["stale"]()) == [changed, missing]


def test_every_error_has_a_row_of_four_cells(pages):
    rows = re.findall(r"^\| (E\w+) \|(.*)\|$", pages["neuron-compiler-errors"], re.MULTILINE)
    assert [code for code, _ in rows] == list(compiler_errors())
    for code, cells in rows:
        means, remedy, source = (cell.strip() for cell in cells.split(" | "))
        assert means.endswith(compiler_errors()[code].means)
        assert remedy == compiler_errors()[code].remedy
        assert source.endswith(f"/{code}.html)")


def test_every_opcode_target_and_rule_has_a_row(pages):
    page = pages["neuron-operators"]
    said = operators()
    for name in (*said.documented, *said.targets):
        assert f"| `{name}` |" in page
    for rule in said.rules:
        assert f"| {rule.verdict} | {rule.reason} | {rule.code} |" in page
