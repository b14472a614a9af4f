"""The door of the command line: exit codes, one cause, one remedy, and nothing it cannot survive."""

import importlib
import subprocess
import sys
from importlib import metadata

import pytest
import typer

from neuron_catalog import __version__
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.cli.commands import MODULES
from neuron_catalog.cli.main import hoisted
from neuron_catalog.cli.sizes import SIZES


def test_version(run):
    assert run("--version") == (0, f"neuron-catalog {__version__}\n", "")
    assert metadata.version("neuron-catalog") == __version__


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_command(arguments, run):
    code, out, err = run(*arguments)
    assert code == 0
    for command in (
        "export",
        "plan",
        "selftest",
        "validate",
        "list",
        "list-tasks",
        "show",
        "check",
        "doctor",
    ):
        assert f" {command} " in out


@pytest.mark.parametrize("module", MODULES)
def test_table_of_commands_says_what_a_module_registers(module):
    app = typer.Typer()
    importlib.import_module(f"neuron_catalog.cli.{module}").register(app)
    registered = (*app.registered_commands, *app.registered_groups)
    assert tuple(each.name for each in registered) == MODULES[module]


def test_export_help_lists_every_axis_of_the_shipped_families_and_pipelines(run, catalog):
    own = [family for family in catalog.families.values() if not family.for_components]
    axes = {axis for each in (*own, *catalog.pipelines.values()) for axis in each.axes}
    assert axes <= set(SIZES)
    code, out, err = run("export", "--help")
    assert all(f"--{axis}" in out for axis in axes)


@pytest.mark.parametrize(
    ("arguments", "code", "cause", "remedy"),
    [
        (["exprt"], 2, "No such command 'exprt'", "did you mean 'export'"),
        (["export", "--batchsize", "1"], 2, "No such option: --batchsize", "--batch-size"),
        (["export", "esm", "--task"], 2, "--task", "requires an argument"),
        (["plan", "esm", "--batch_size", "x"], 2, "--batch_size x is no size", "64,128,256 for buckets"),
        (["export"], 2, "neither an architecture nor --model was given", "export esm --task fill-mask"),
        (["plan", "esm"], 2, "--task was not given", "fill-mask, text-classification"),
        (["plan", "ems", "--task", "fill-mask"], 4, "no architecture 'ems'", "did you mean esm"),
        (["plan", "esm", "--task", "fil-mask"], 4, "no task 'fil-mask'", "did you mean fill-mask?"),
        (
            ["plan", "esm", "--task", "question-answering"],
            4,
            "no task 'question-answering'",
            "list-tasks esm",
        ),
        (
            ["plan", "esm", "--task", "fill-mask", "--num_choices", "2"],
            4,
            "no axis 'num_choices'",
            "Its axes are",
        ),
        (["plan", "esm", "--task", "fill-mask", "--axis", "widht=2"], 4, "no axis 'widht'", "Its axes are"),
        (["plan", "esm", "--task", "fill-mask", "--axis", "width"], 2, "not of the form NAME=N", "width=224"),
        (["plan", "esm", "--task", "fill-mask", "--batch_size", "0"], 4, "positive whole number", ""),
        (["plan", "esm", "--task", "fill-mask", "--backend", "torchscrpt"], 4, "no backend", "torchscript"),
        (["show", "robert"], 4, "no architecture 'robert'", "did you mean roberta"),
        (["inspect", "."], 4, "is no exported artifact", "neuron-catalog export"),
        (["--catalog", "nowhere", "list"], 4, "catalog folder nowhere does not exist", "--catalog"),
    ],
)
def test_bad_input_has_one_cause_one_remedy_and_its_exit_code(arguments, code, cause, remedy, run):
    given, out, err = run(*arguments)
    assert given == code
    assert err.startswith("Error: ")
    assert cause in err
    assert remedy.lower() in err.lower()
    assert "Traceback" not in err
    assert out == ""


def test_debug_adds_the_traceback_and_may_stand_anywhere(run):
    code, out, err = run("show", "robert", "--debug")
    assert code == 4
    assert "Traceback" in err


def test_unexpected_error_is_told_as_a_bug(run, monkeypatch):
    monkeypatch.setattr(Catalog, "get", lambda self, name: 1 / 0)
    code, out, err = run("show", "esm")
    assert code == 1
    assert "Error: ZeroDivisionError: division by zero" in err
    assert "This is a bug in neuron-catalog" in err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["list", "--catalog", "a", "x"], ["--catalog", "a", "list", "x"]),
        (["list", "--catalog=a"], ["--catalog=a", "list"]),
        (["--debug", "list"], ["--debug", "list"]),
        (["check", "--", "--debug"], ["check", "--", "--debug"]),
        (["list", "--catalog"], ["--catalog", "list"]),
    ],
)
def test_global_options_are_moved_to_the_front(line, expected):
    assert hoisted(line) == expected


@pytest.mark.parametrize("spelling", ["--sequence_length", "--sequence-length"])
def test_dashes_and_underscores_are_alike(spelling, run):
    code, out, err = run("plan", "esm", "--task", "fill-mask", spelling, "9")
    assert (code, "sequence_length=9" in out) == (0, True)


def test_closed_pipe_is_no_error(tmp_path):
    command = f"{sys.executable} -m neuron_catalog list --json | head -c 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.stdout, done.stderr) == ("{", "")
