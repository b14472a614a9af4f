"""Each file of tests/bad_catalog holds a mistake; the `.expected` beside it is what a contributor is told.

Dropping a file there makes a test. `yaml/` is refused by the reader, `schema/<kind>/` by the format, and
`checks/<name>/` is a folder of files that lie in front of `surroundings/`, a small catalog without mistakes.
Lines of `.expected` are findings without their path: `line:column: CODE message; fix`.
"""

import re
from pathlib import Path

import pytest

from neuron_catalog.catalog.codes import CODES
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.loader import load
from neuron_catalog.catalog.source import read_yaml
from neuron_catalog.errors import CatalogError
from neuron_catalog.schema.kinds import DOCUMENTS

BAD = Path(__file__).parents[1] / "bad_catalog"
TEXTS = sorted(BAD.glob("yaml/*.yaml"))
DOCUMENTS_OF_A_KIND = sorted(BAD.glob("schema/*/*.yaml"))
FOLDERS = sorted(path for path in BAD.glob("checks/*") if path.is_dir())
MADE_BY_OTHER_TESTS = {"NC400", "NC100", "NC101", "NC102", "NC111", "NC200"}
"""Files that are missing, too large, not UTF-8, not to be rewritten, or in no catalog: see test_reader.py,
test_rewriting.py and test_loader.py."""


def expected(case):
    return case.parent / f"{case.stem}.expected"


def told(findings):
    return [str(finding).removeprefix(f"{finding.file}:") for finding in findings]


def case_id(path):
    return str(path.relative_to(BAD).with_suffix(""))


def assert_told(findings, case, code_begins_with):
    lines = told(findings)
    assert "\n".join(lines) == expected(case).read_text(encoding="utf-8").rstrip("\n")
    assert all(finding.code.startswith(code_begins_with) for finding in findings)


@pytest.mark.parametrize("path", TEXTS, ids=case_id)
def test_reader_refuses(path):
    with pytest.raises(CatalogError) as caught:
        read_yaml(path)
    assert_told(caught.value.findings, path, "NC1")


@pytest.mark.parametrize("path", DOCUMENTS_OF_A_KIND, ids=case_id)
def test_format_refuses(path):
    with pytest.raises(CatalogError) as caught:
        load(path, DOCUMENTS[path.parent.name])
    assert_told(caught.value.findings, path, "NC2")


@pytest.mark.parametrize("folder", FOLDERS, ids=case_id)
def test_checks_refuse(folder):
    catalog = Catalog((folder, BAD / "surroundings"))
    assert_told(catalog.check(sorted(folder.rglob("*.yaml"))), folder, "NC3")


def test_surroundings_have_no_mistakes():
    assert Catalog((BAD / "surroundings",)).check() == ()


def test_each_case_has_expected_lines_and_the_reverse():
    cases = [*TEXTS, *DOCUMENTS_OF_A_KIND, *FOLDERS]
    assert sorted(map(expected, cases)) == sorted(BAD.rglob("*.expected"))


def test_every_file_belongs_to_a_case():
    known = {*TEXTS, *DOCUMENTS_OF_A_KIND, *BAD.rglob("*.expected"), *BAD.glob("surroundings/**/*.yaml")}
    known.update(path for folder in FOLDERS for path in folder.rglob("*.yaml"))
    assert {path for path in BAD.rglob("*") if path.is_file()} == known


def test_every_code_has_an_example():
    shown = {
        code
        for path in BAD.rglob("*.expected")
        for code in re.findall(r" (NC\d{3}) ", path.read_text("utf-8"))
    }
    assert shown | MADE_BY_OTHER_TESTS == set(CODES)
