"""The catalog proves itself, and the proof can fail."""

import json
import runpy
from pathlib import Path

import pytest

from neuron_catalog.proving.journal import Journal
from neuron_catalog.proving.selftest import selftest

ROOT = Path(__file__).resolve().parents[2]
CONTROLS = "negative_control"


def hold_to_the_evidence(catalog, names, rows):
    wrong = {f"{row.architecture} {row.task}": row.complaint for row in rows if not row.passed}
    assert wrong == {}
    assert len(rows) == sum(len(catalog.rows(name)) for name in names)
    for row in rows:
        seen = {check.name: check.status for check in row.checks}
        assert seen[CONTROLS] == "passed"
        recorded = [run for run in catalog.evidence(row.architecture) if run.task == row.task]
        assert seen in [run.checks for run in recorded], f"{row.architecture} {row.task}: run `make evidence`"


@pytest.mark.slow
def test_the_smoke_set_passes_with_its_negative_controls(catalog):
    """One architecture of each kind, and the tenth of the catalog whose turn it is today."""
    tool = runpy.run_path(str(ROOT / "tools" / "changed.py"))
    names = tool["smoke_set"](catalog, tool["part_of_day"](tool["today"]()))
    hold_to_the_evidence(catalog, names, list(selftest(catalog, names, jobs=2)))


@pytest.mark.full
def test_every_architecture_and_task_passes_with_its_negative_control(catalog):
    """The rows that `make test-all` ran just before are not run again."""
    names = catalog.architectures
    done = Journal(ROOT / "build" / "selftest.jsonl", catalog).passed(names)
    hold_to_the_evidence(catalog, names, [*done, *selftest(catalog, names, jobs=2, done=done)])


def test_one_architecture_on_the_command_line(run):
    code, out, err = run("selftest", "esm")
    assert code == 0
    assert out.splitlines()[-1] == "4 of 4 passed."


def test_json_holds_every_check(run):
    code, out, err = run("selftest", "distilbert", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["task"] for row in rows] == sorted(row["task"] for row in rows)
    assert all(row["passed"] for row in rows)
    assert {check["name"] for check in rows[0]["checks"]} >= {"signature", "values", "oracle", CONTROLS}


def overlay(tmp_path, catalog, name, change):
    path = tmp_path / "overlay" / "architectures" / f"{name}.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(change(catalog.file_of(name).read_text()))
    return "overlay"


def test_stale_deviation_is_a_failure(run, tmp_path, catalog):
    stale = "deviations:\n  - {check: rows_independent, reason: Not true at all.}\n"
    folder = overlay(tmp_path, catalog, "distilbert", lambda text: text + stale)
    code, out, err = run("--catalog", folder, "selftest", "distilbert")
    assert code == 6
    assert "declares that rows_independent deviates, but nothing was seen: remove it" in out


def test_undeclared_deviation_is_a_failure(run, tmp_path, catalog):
    folder = overlay(tmp_path, catalog, "convbert", lambda text: text[: text.index("deviations:")])
    code, out, err = run("selftest", "--catalog", folder, "convbert")
    assert code == 6
    assert "masked_tokens_dead: last_hidden_state differs by" in out
    assert "0 of 6 passed." in out


def test_wrong_output_name_is_a_failure_with_the_right_ones(run, tmp_path, catalog):
    def rename(text):
        return text.replace("[last_hidden_state]", "[last_hidden_state, pooler_output]")

    folder = overlay(tmp_path, catalog, "distilbert", rename)
    code, out, err = run("selftest", "--catalog", folder, "distilbert")
    assert code == 6
    assert "The model gives no output 'pooler_output'; it gives: last_hidden_state" in out


def test_broken_tiny_config_is_a_failure(run, tmp_path, catalog):
    folder = overlay(tmp_path, catalog, "distilbert", lambda text: text.replace("dim: 32", "dim: wide"))
    code, out, err = run("selftest", "--catalog", folder, "distilbert")
    assert code == 6
    assert "The tiny config of distilbert is refused by transformers" in out


def test_a_model_that_raises_something_new_fails_its_row_only(catalog, monkeypatch):
    def broken(*_arguments):
        raise NotImplementedError("no kernel for this")

    monkeypatch.setattr("neuron_catalog.proving.selftest.build", broken)
    rows = list(selftest(catalog, ["distilbert"]))
    assert {row.complaint for row in rows} == {"NotImplementedError: no kernel for this"}
    assert len(rows) == len(catalog.supported_tasks("distilbert"))


def test_unknown_architecture(run):
    code, out, err = run("selftest", "distilbrt")
    assert (code, "did you mean distilbert" in err) == (4, True)
