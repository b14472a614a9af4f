"""The command check: its formats, and files rewritten by --fix."""

import json
from pathlib import Path

import pytest

from neuron_catalog.cli.findings import FORMATS, github, sarif
from neuron_catalog.errors import Finding

UNTIDY = """\
# yaml-language-server: $schema=x
family: text-encoder
architecture:   "toy"  # a toy
"""


@pytest.fixture
def architectures(tmp_path):
    folder = tmp_path / "mine" / "architectures"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def wrong(architectures, catalog):
    """Write a file with an unknown task; returns its path below the running folder."""
    text = catalog.file_of("esm").read_text().replace("  fill-mask:", "  fill-mask-mask:")
    (architectures / "esm.yaml").write_text(text)
    return "mine/architectures/esm.yaml"


MESSAGE = "unknown task 'fill-mask-mask'; did you mean fill-mask?"


def test_text_is_the_default(run, wrong):
    told = run("check", wrong)
    assert told == (3, "", f"{wrong}:13:3: NC302 {MESSAGE}\nError: the catalog has 1 problem.\n")
    assert run("check", "--format", "text", wrong) == told


def test_json_has_two_spellings(run, wrong):
    code, out, err = told = run("check", "--json", wrong)
    assert (code, err) == (3, "")
    assert json.loads(out) == [
        {
            "file": wrong,
            "line": 13,
            "column": 3,
            "code": "NC302",
            "message": "unknown task 'fill-mask-mask'",
            "fix": "did you mean fill-mask?",
        }
    ]
    assert run("check", "--format", "json", wrong) == told
    assert run("check", "--format", "json", "--json", wrong) == told


def test_json_and_another_format_exclude_each_other(run):
    code, out, err = run("check", "--json", "--format", "sarif")
    assert (code, out) == (2, "")
    assert "--json and --format sarif exclude each other" in err


def test_github_gets_a_command_for_each_finding(run, wrong):
    code, out, err = run("check", "--format", "github", wrong)
    assert (code, err) == (3, "")
    assert out == f"::error file={wrong},line=13,col=3,title=NC302::{MESSAGE}\n"


def test_github_commands_are_escaped(tmp_path):
    finding = Finding(tmp_path / "a,b:c%.yaml", 1, 2, "NC100", "50% of\r\nit: a, b", "mend")
    assert github([finding]) == (
        f"::error file={tmp_path}/a%2Cb%3Ac%25.yaml,line=1,col=2,title=NC100::50%25 of%0D%0Ait: a, b; mend"
    )


def test_sarif_places_each_finding_under_its_rule(run, wrong):
    code, out, err = run("check", "--format", "sarif", wrong)
    assert (code, err) == (3, "")
    report = json.loads(out)
    assert report["version"] == "2.1.0"
    (only,) = report["runs"]
    rules = only["tool"]["driver"]["rules"]
    (result,) = only["results"]
    assert rules[result.pop("ruleIndex")]["id"] == "NC302"
    place = {"artifactLocation": {"uri": wrong}, "region": {"startLine": 13, "startColumn": 3}}
    assert result == {
        "ruleId": "NC302",
        "level": "error",
        "message": {"text": MESSAGE},
        "locations": [{"physicalLocation": place}],
    }


def test_sarif_has_a_rule_for_each_code_with_its_page(monkeypatch):
    from neuron_catalog.catalog.codes import CODES
    from neuron_catalog.cli import findings

    monkeypatch.setattr(findings, "documentation", lambda: "https://example.org/docs/")
    rules = json.loads(sarif([]))["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    assert all(rule["helpUri"] == f"https://example.org/docs/codes/{rule['id']}.md" for rule in rules)
    assert rules[0]["shortDescription"] == {"text": "the file cannot be read"}


def test_sarif_has_no_address_of_pages_that_the_package_does_not_name(monkeypatch):
    from neuron_catalog.cli import findings

    monkeypatch.setattr(findings, "documentation", lambda: None)
    assert "helpUri" not in json.loads(sarif([]))["runs"][0]["tool"]["driver"]["rules"][0]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (None, None),
        (["Source, https://a.org"], None),
        (["Source, https://a.org", "Documentation, https://b.org/docs"], "https://b.org/docs"),
    ],
)
def test_the_address_of_the_pages_is_what_the_package_names(labels, found, monkeypatch):
    from email.message import Message

    from neuron_catalog.cli.findings import documentation

    message = Message()
    for label in labels or ():
        message["Project-URL"] = label
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: message)
    assert documentation() == found


def test_sources_that_are_not_installed_name_no_address(monkeypatch):
    from importlib import metadata

    from neuron_catalog.cli.findings import documentation

    def refuse(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", refuse)
    assert documentation() is None


def test_sarif_addresses_are_escaped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    near, far = Path("a b/ü#.yaml"), Path("/far away/x%.yaml")
    report = json.loads(sarif([Finding(path, 1, 1, "NC100", "x") for path in (near, far)]))
    places = [result["locations"][0]["physicalLocation"] for result in report["runs"][0]["results"]]
    assert [place["artifactLocation"]["uri"] for place in places] == [
        "a%20b/%C3%BC%23.yaml",
        "file:///far%20away/x%25.yaml",
    ]


@pytest.mark.parametrize("name", ["github", "sarif"])
def test_paths_are_relative_to_the_running_folder(name, run, wrong, tmp_path):
    out = run("check", "--format", name, str(tmp_path / wrong))[1]
    assert wrong in out
    assert str(tmp_path) not in out


@pytest.mark.parametrize(("name", "out"), [("json", "[]\n"), ("github", "")])
def test_nothing_wrong(name, out, run, architectures):
    assert run("check", "--format", name) == (0, out, "")


def test_an_unknown_format(run):
    code, out, err = run("check", "--format", "xml")
    assert code == 2
    assert all(name in err for name in ("text", *FORMATS))


def test_fix_rewrites_and_then_checks(run, architectures):
    file = architectures / "toy.yaml"
    file.write_text(UNTIDY)
    code, out, err = run("check", "--fix", "mine/architectures/toy.yaml")
    assert (code, out) == (3, "rewritten: mine/architectures/toy.yaml\n")
    assert "mine/architectures/toy.yaml:2:1: NC201 the key 'summary' is missing here" in err
    assert file.read_text().splitlines()[1:] == ["architecture: toy  # a toy", "family: text-encoder"]
    assert run("check", "--fix", "mine/architectures/toy.yaml")[:2] == (3, "")


def test_fix_leaves_the_output_for_programs_alone(run, architectures):
    (architectures / "toy.yaml").write_text(UNTIDY)
    code, out, err = run("check", "--fix", "--json", "mine/architectures/toy.yaml")
    assert {finding["code"] for finding in json.loads(out)} == {"NC201"}
    assert err == "rewritten: mine/architectures/toy.yaml\n"


def test_fix_takes_all_architectures_of_the_catalog(run, architectures, catalog):
    text = catalog.file_of("esm").read_text()
    (architectures / "esm.yaml").write_text(text.replace("family: text-encoder", "family:  'text-encoder'"))
    code, out, err = run("--catalog", "mine", "check", "--fix")
    assert (code, err) == (0, "")
    rewritten, checked = out.splitlines()
    assert rewritten == "rewritten: mine/architectures/esm.yaml"
    assert checked.endswith("files checked: no problems.")
    assert (architectures / "esm.yaml").read_text() == text


@pytest.mark.parametrize("place", ["components/unet.yaml", "pipelines/flux.yaml"])
def test_fix_only_checks_components_and_pipelines(run, architectures, catalog, place):
    file = architectures.parent / place
    file.parent.mkdir()
    text = (catalog.folders[-1] / place).read_text("utf-8").replace("summary: ", "summary:   ")
    file.write_text(text, "utf-8")
    assert run("--catalog", "mine", "check", "--fix", f"mine/{place}")[:2] == (
        0,
        "1 file checked: no problems.\n",
    )
    assert file.read_text("utf-8") == text
    file.write_text(text.replace("summary:", "sumary:"), "utf-8")
    code, out, err = run("--catalog", "mine", "check", "--fix", f"mine/{place}")
    assert (code, out) == (3, "")
    assert "unknown key 'sumary'; did you mean summary?" in err
    assert "sumary:" in file.read_text("utf-8")


def test_fix_reports_what_it_cannot_read_and_leaves_it(run, architectures):
    file = architectures / "toy.yaml"
    file.write_text("atol:   no\n")
    code, out, err = run("check", "--fix", "mine/architectures/toy.yaml")
    assert (code, out) == (3, "")
    assert err.count("NC110") == 1
    assert file.read_text() == "atol:   no\n"


def test_fix_tells_what_it_cannot_rewrite(run, architectures, catalog):
    file = architectures / "esm.yaml"
    text = (
        catalog.file_of("esm")
        .read_text()
        .replace("vocab_size:", "size: 123456789012345678.0e+99, vocab_size:")
    )
    file.write_text(text)
    code, out, err = run("--catalog", "mine", "check", "--fix", "mine/architectures/esm.yaml")
    assert (code, out) == (3, "")
    assert "NC111 cannot be rewritten" in err
    assert file.read_text() == text
    assert run("--catalog", "mine", "check")[0] == 0


def test_another_form_is_no_mistake(run, architectures, catalog):
    text = catalog.file_of("esm").read_text().replace("family: text-encoder", "family:  'text-encoder'")
    (architectures / "esm.yaml").write_text(text)
    assert run("--catalog", "mine", "check")[0] == 0
