"""Rows of a selftest: a bar on a terminal, plain lines elsewhere, and never a row on the wrong stream."""

import sys

import pytest

from neuron_catalog.cli.printing import row_progress
from neuron_catalog.manifest import Check
from neuron_catalog.proving.selftest import Row

LINES = ["[✓] a[b] fill-mask torchscript 0.5 s", "[✗] c fill-mask torchscript 0.0 s", "      It broke."]


def show(quiet=False):
    check = Check(name="values", status="passed", detail="")
    done = {"task": "fill-mask", "backend": "torchscript"}
    with row_progress(3, quiet) as on_row:
        on_row(Row(architecture="a[b]", checks=(check,), seconds=0.5, **done))
        on_row(Row(architecture="c", error="It broke.", **done))


@pytest.fixture
def terminal(capsys, monkeypatch):
    """Let the given streams be terminals; returns what was printed to each."""

    def call(*names, **options):
        for name in names:
            monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True)
        show(**options)
        return capsys.readouterr()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return call


def test_plain_lines_without_a_terminal(terminal):
    out, err = terminal()
    assert (out.splitlines(), err) == (LINES, "")


def test_nothing_when_a_program_reads(terminal):
    assert terminal("stderr", quiet=True) == ("", "")


def test_a_bar_and_the_rows_above_it_on_a_terminal(terminal):
    out, err = terminal("stdout", "stderr")
    assert out == ""
    assert all(line in err for line in LINES)
    assert "2/3" in err


def test_rows_stay_on_a_redirected_standard_output(terminal):
    out, err = terminal("stderr")
    assert out.splitlines() == LINES
    assert "2/3" in err
    assert "fill-mask" not in err


def test_a_dumb_terminal_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    out, err = terminal("stdout", "stderr")
    assert (out.splitlines(), err) == (LINES, "")
