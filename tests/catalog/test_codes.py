"""Every code is told of in codes.py, and has a current page with an example."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from neuron_catalog.catalog.codes import CODES

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "neuron_catalog"
PAGES = ROOT / "docs" / "codes"


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "generate_code_pages.py"))


def test_the_codes_are_those_that_findings_have():
    files = (path for path in SOURCES.rglob("*.py") if path.name != "codes.py")
    used = {code for path in files for code in re.findall(r'"(NC\d{3})"', path.read_text("utf-8"))}
    assert set(CODES) == used
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("name", CODES)
def test_a_code_is_told_of_in_sentences(name):
    code = CODES[name]
    assert not code.title.endswith(".")
    assert code.wrong.endswith(".")
    assert code.mend.endswith(".")


def test_code_pages_are_current(tool):
    assert tool["stale"]() == []


def test_a_changed_a_missing_and_a_left_over_page_are_stale(tool, tmp_path, monkeypatch):
    for path, text in tool["page_texts"]().items():
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    monkeypatch.setitem(tool["stale"].__globals__, "PAGES", tmp_path)
    assert tool["stale"]() == []
    changed, missing, left_over = (tmp_path / name for name in ("NC302.md", "README.md", "NC999.md"))
    changed.write_text("", encoding="utf-8")
    missing.unlink()
    left_over.write_text("", encoding="utf-8")
    assert sorted(tool["stale"]()) == [changed, left_over, missing]


@pytest.mark.parametrize("name", CODES)
def test_a_page_shows_a_finding_with_its_code(name):
    assert re.search(rf"^\S+:\d+:\d+: {name} ", (PAGES / f"{name}.md").read_text("utf-8"), re.MULTILINE)


def test_a_snippet_shows_the_keys_that_its_lines_stand_under(tool):
    lines = ["a: 1", "b:", "  c:", "    - 2", "    - 3", "    - 4", "  d: 5", "e: 6"]
    assert tool["snippet"](lines, [6]) == ["# …", "b:", "  c:", "# …", "    - 3", "    - 4", "  d: 5", "# …"]


def test_checking_does_not_load_the_codes():
    program = (
        "import sys; from neuron_catalog.cli.main import main; assert main(['check']) == 0; "
        "assert not {'neuron_catalog.catalog.codes', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True)
