"""Which architectures are lowered on which day, and what is said where nothing can be."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


def load_tool():
    spec = importlib.util.spec_from_file_location("lower_sample", ROOT / "tools" / "lower_sample.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def test_a_day_always_has_the_same_sample(catalog):
    tasks = tool.first_tasks(catalog, set())
    assert tool.sample(tasks, 41) == tool.sample(tasks[::-1], 41)
    assert tool.sample(tasks, 41) != tool.sample(tasks, 42)
    assert len(tool.sample(tasks, 41)) == tool.COUNT


def test_all_architectures_have_their_turn_once_within_a_year(catalog):
    tasks = tool.first_tasks(catalog, set())
    assert [name for name, _ in tasks] == list(catalog.architectures)
    turn = -(-len(tasks) // tool.COUNT)
    assert turn < 365
    assert sorted(each for day in range(1, turn + 1) for each in tool.sample(tasks, day)) == sorted(tasks)
    assert tool.sample(tasks, 1) == tool.sample(tasks, 1 + turn)


def test_the_first_task_of_an_architecture_is_lowered(catalog):
    first = dict(tool.first_tasks(catalog, set()))
    assert (first["esm"], first["gpt2"]) == (
        next(iter(catalog.rows("esm"))),
        next(iter(catalog.rows("gpt2"))),
    )


def test_what_is_known_not_to_be_lowered_is_in_no_sample(catalog, tmp_path):
    path = tmp_path / "not_lowered.jsonl"
    assert tool.known_failures(path) == set()
    task = next(iter(catalog.rows("esm")))
    rows = [("esm", task), ("gpt2", "another task")]
    path.write_text("".join(f"{json.dumps({'architecture': a, 'task': t})}\n" for a, t in rows), "utf-8")
    tasks = tool.first_tasks(catalog, tool.known_failures(path))
    assert {*catalog.architectures} - {name for name, _ in tasks} == {"esm"}


def test_a_sample_of_nothing_is_empty():
    assert tool.sample([], 3) == []


@pytest.fixture
def called(monkeypatch, capsys, tmp_path):
    """Call the tool where torch-xla is not; returns exit code and what it says."""
    monkeypatch.setattr(tool.xla, "unavailable", lambda: "torch-xla is not installed")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "ENVIRONMENT", tmp_path / "build" / "xla-env")

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["lower_sample.py", *arguments])
        return tool.main(), capsys.readouterr()

    return call


def test_without_an_environment_it_says_that_nothing_was_lowered(called):
    code, said = called()
    assert code == 0
    assert said.out.startswith("Nothing was lowered: build/xla-env, where torch-xla would be, is not there")
    assert "make xla-env" in said.out


def test_it_runs_in_the_environment(called, monkeypatch):
    python = tool.ENVIRONMENT / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    calls = []

    def start(command, check):
        calls.append(command)
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(tool.subprocess, "run", start)
    assert called("--day", "5")[0] == 7
    assert calls == [[python, tool.__file__, "--day", "5"]]
    monkeypatch.setattr(sys, "prefix", str(tool.ENVIRONMENT))
    code, said = called("--day", "5")
    assert (code, len(calls)) == (1, 1)
    assert "has no torch-xla" in said.out


@pytest.mark.parametrize(("bad", "code"), [((), 0), (("gpt2",), 1)])
def test_a_failed_row_fails_the_run(bad, code, monkeypatch, capsys):
    asked = {}

    def selftest(catalog, names, way, done):
        asked.update(names=names, backend=way.backend, done=[(row.architecture, row.task) for row in done])
        for name in names:
            error = "planted" if name in bad else ""
            yield tool.Row(
                architecture=name, task="b", backend="xla", error=error, not_run="" if error else "x"
            )

    catalog = SimpleNamespace(rows=lambda name: {"a": None, "b": None})
    monkeypatch.setattr(tool, "selftest", selftest)
    assert tool.proved(catalog, [("esm", "b"), ("gpt2", "b")]) is not bool(code)
    assert asked == {"names": ["esm", "gpt2"], "backend": "xla", "done": [("esm", "a"), ("gpt2", "a")]}
    assert f"0 lowered and verified, {code} failed, {2 - code} not run." in capsys.readouterr().out
