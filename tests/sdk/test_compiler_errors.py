"""The compiler's errors: what is told of them can be done here, and a log is searched exactly."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.main import get_command

from neuron_catalog.cli.main import app
from neuron_catalog.sdk.compiler_errors import (
    CODE,
    LONGEST,
    code_in,
    compiler_errors,
    error_lines,
    found_in,
)

ROOT = Path(__file__).parents[2]
ERRORS = compiler_errors()
OF_THE_COMPILER = {
    "--experimental-unsafe-fp8e4m3fn-as-fp8e4m3",
    "--framework",
    "--implicit-integer-downcast",
    "--lnc",
    "--logical-nc-config",
    "--upgrade",
}
"""Options of neuronx-cc, and of pip, that a remedy may name."""


@pytest.fixture(scope="module")
def axes(catalog):
    return {axis for family in catalog.families.values() for axis in family.axes}


def test_the_codes_are_in_order_and_look_like_codes():
    assert list(ERRORS) == sorted(ERRORS)
    assert len(ERRORS) == 62
    for code, error in ERRORS.items():
        assert error.code == code
        assert re.fullmatch(CODE, code)
        assert error.source == f"compiler/error-codes/{code}.rst"


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_is_told_of_in_sentences(code):
    error = ERRORS[code]
    assert not error.title.endswith(".")
    assert error.means.endswith(".")
    assert error.remedy.endswith(".")
    assert "\n" not in error.title + error.means + error.remedy


@pytest.mark.parametrize("code", ERRORS)
def test_axes_are_axes_of_families_and_named_in_the_remedy(code, axes):
    error = ERRORS[code]
    assert set(error.axes) <= axes
    named = [word for word in re.findall(r"--(\w+)", error.remedy) if word in axes]
    assert list(error.axes) == named


@pytest.mark.parametrize("code", ERRORS)
def test_options_and_pages_that_a_remedy_names_exist(code, axes):
    export = get_command(app).get_command(None, "export")
    known = {option for parameter in export.params for option in parameter.opts}
    known |= {f"--{axis}" for axis in axes} | OF_THE_COMPILER
    remedy = ERRORS[code].remedy
    assert set(re.findall(r"--[a-z][\w-]*", remedy)) <= known
    for page in re.findall(r"docs/[\w/-]+\.md", remedy):
        assert (ROOT / page).is_file()


@pytest.mark.parametrize("word", ["EVRF031", "evrf031", "NCC_EVRF031", "ncc_Evrf031"])
def test_a_code_is_known_in_the_spellings_of_logs_and_pages(word):
    assert code_in(word) == "EVRF031"


@pytest.mark.parametrize("word", ["NCC_IBIR229", "IBIR229", "NCC_CFG015", "EVRF999"])
def test_codes_without_a_page_are_codes_too(word):
    assert code_in(word) == word.removeprefix("NCC_")
    assert code_in(word) not in ERRORS


def test_no_architecture_is_taken_for_a_code(catalog):
    assert not [name for name in catalog.architectures if code_in(name)]


@pytest.mark.parametrize(
    "word", ["", "esm", "EVRF31", "EVRF0311", "XVRF031", "a EVRF031", "NCC_", "EVRF031\n"]
)
def test_other_words_are_no_codes(word):
    assert code_in(word) == ""


def test_errors_stand_in_the_order_of_their_first_mention():
    log = (
        "2026-11-26T03:00:00Z ERROR 4242 [NCC_EOOM001] needs 25.1 GB\n"
        "see .../error-codes/EVRF031.html, NCC_EOOM001 (EVRF056), \x1b[31mNCC_EVRF007\x1b[0m\n"
        "MY_EVRF001 EVRF001_X XEVRF001 EVRF0011 NCC_INCC_EVRF001 NCC_EVRF999 ncc_evrf001 NCC_IBIR229"
    )
    assert [each.code for each in found_in(log)] == ["EOOM001", "EVRF031", "EVRF056", "EVRF007"]


PIECES = st.one_of(
    st.sampled_from([*ERRORS, "EVRF999", "IBIR229"]),
    st.sampled_from(
        ["NCC_", "_", " ", "\n", "[", "]", ":", "E", "EVRF", "031", "ncc_", "\x1b[31m", "\x1b[0m", "é"]
    ),
    st.text(max_size=8),
)


def told_by_hand(log):
    """Go through a log character by character, and return the codes among its words."""
    words, word, rest = [], "", log
    while rest:
        if colour := re.match(r"\x1b\[[0-9;]*m", rest):
            words, word, rest = [*words, word], "", rest[colour.end() :]
        elif rest[0].isascii() and (rest[0].isalnum() or rest[0] == "_"):
            word, rest = word + rest[0], rest[1:]
        else:
            words, word, rest = [*words, word], "", rest[1:]
    found = [each.removeprefix("NCC_") for each in [*words, word]]
    return list(dict.fromkeys(each for each in found if each in ERRORS))


@given(st.lists(PIECES, max_size=40).map("".join))
@example("NCC_NCC_EVRF031")
@example("\x1b[31mEVRF031\x1b[0m\x1b[31mEVRF056")
def test_a_log_mentions_the_codes_that_are_among_its_words(log):
    assert [each.code for each in found_in(log)] == told_by_hand(log)


@given(st.lists(st.sampled_from(list(ERRORS)), max_size=20), st.sampled_from([" ", "\r\n", ",", "]["]))
def test_every_error_is_found_once_and_in_order(codes, between):
    log = between.join(f"NCC_{code}" for code in codes)
    assert [each.code for each in found_in(log)] == list(dict.fromkeys(codes))


@pytest.mark.parametrize("filling", ["E", "NCC_", "EVRF03", "\x1b[", "NCC_EVRF031_", "a\n", "\x1b[31m"])
def test_megabytes_of_log_are_searched(filling):
    assert [each.code for each in found_in(filling * 1_000_000 + " EVRF056")] == ["EVRF056"]


LINES = st.tuples(
    st.text(max_size=9), st.sampled_from(["", "Error", "NCC_", "ncc_", "\x1b[31m"]), st.text(max_size=9)
)


@given(st.lists(LINES.map("".join), max_size=12))
def test_lines_about_errors_are_the_last_ones_of_the_log(lines):
    log = "\n".join(lines)
    told = error_lines(log, most=3)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log)
    said = [line.strip() for line in plain.splitlines()]
    expected = [line for line in said if "error" in line.casefold() or "NCC_" in line]
    assert list(told) == expected[-3:]


def test_a_line_about_an_error_may_be_spelt_in_any_way_and_is_cut():
    log = "fine\nERROR: a\n RuntimeError: b\n[error] c\n[NCC_EVRF029] d\nfine\n" + "error" * 1000
    *short, cut = error_lines(log)
    assert short == ["ERROR: a", "RuntimeError: b", "[error] c", "[NCC_EVRF029] d"]
    assert len(cut) == LONGEST + 1
    assert len(error_lines("error\n" * 50)) == 10
