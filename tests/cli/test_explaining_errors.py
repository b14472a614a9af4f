"""`explain` of the compiler's errors, by their codes and from a log."""

import json

import pytest

from neuron_catalog.sdk.compiler_errors import compiler_errors

LOG = "INFO all is well\n2026-11-26 ERROR [NCC_EVRF056] gather\nERROR: see NCC_EOOM001, NCC_EVRF056\n"


@pytest.mark.parametrize("word", ["EVRF031", "evrf031", "NCC_EVRF031"])
def test_a_code_is_explained_with_meaning_remedy_and_source(run, word):
    error = compiler_errors()["EVRF031"]
    code, out, err = run("explain", word)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"EVRF031: {error.title}",
        f"  {error.means}",
        f"  Fix: {error.remedy}",
        "  Source: aws-neuron/aws-neuron-sdk, compiler/error-codes/EVRF031.rst",
    ]


def test_a_code_is_explained_to_programs(run):
    code, out, err = run("explain", "EVRF031", "--json")
    told = json.loads(out)
    assert code == 0
    assert list(told) == ["code", "title", "means", "remedy", "axes", "source"]
    assert told["axes"] == ["sequence_length"]


def test_an_unknown_code_is_refused_with_the_nearest_ones(run):
    code, out, err = run("explain", "NCC_EVRF033")
    assert (code, out) == (4, "")
    assert "No error EVRF033 of the compiler is documented; did you mean EVRF0" in err
    assert "docs/neuron-compiler-errors.md" in err


def test_a_code_of_the_compiler_itself_is_no_model(run):
    code, out, err = run("explain", "NCC_IBIR229")
    assert (code, out) == (4, "")
    assert "No error IBIR229 of the compiler is documented" in err


def test_a_folder_by_the_name_of_a_code_is_a_model(run, tmp_path):
    (tmp_path / "EVRF031").mkdir()
    code, out, err = run("explain", "EVRF031")
    assert code == 4
    assert "no config.json" in err


def test_every_error_of_a_log_is_explained_once_and_in_order(run, tmp_path):
    (tmp_path / "log-neuron-cc.txt").write_text(LOG)
    code, out, err = run("explain", "--log", "log-neuron-cc.txt")
    assert (code, err) == (0, "")
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        f"{name}: {compiler_errors()[name].title}" for name in ("EVRF056", "EOOM001")
    ]
    told = json.loads(run("explain", "--log", "log-neuron-cc.txt", "--json")[1])
    assert [each["code"] for each in told["errors"]] == ["EVRF056", "EOOM001"]
    assert told["lines"] == []


def test_a_log_without_a_documented_error_shows_its_last_lines_about_errors(run, tmp_path):
    (tmp_path / "log").write_bytes(b"ERROR: \xff a\nfine\n[NCC_IBIR229] internal Error\nfine\n")
    code, out, err = run("explain", "--log", "log")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "log mentions no documented error of the compiler.",
        "Its last lines about an error:",
        "  ERROR: \ufffd a",
        "  [NCC_IBIR229] internal Error",
    ]
    told = json.loads(run("explain", "--log", "log", "--json")[1])
    assert told == {"log": "log", "errors": [], "lines": ["ERROR: \ufffd a", "[NCC_IBIR229] internal Error"]}


def test_a_log_without_any_error_says_so(run, tmp_path):
    (tmp_path / "log").write_text("")
    code, out, err = run("explain", "--log", "log")
    assert code == 0
    assert out.splitlines()[-1] == "Nor does a line of it tell of an error."


def test_a_log_that_cannot_be_read_is_refused(run, tmp_path):
    assert run("explain", "--log", "none")[0] == 4
    code, out, err = run("explain", "--log", str(tmp_path))
    assert code == 4
    assert "cannot be read: Is a directory." in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("arguments", [(), ("esm", "--log", "log")])
def test_one_thing_is_explained_at_a_time(run, arguments):
    code, out, err = run("explain", *arguments)
    assert (code, out) == (2, "")
    assert "one of them" in err
