"""A selftest that was interrupted goes on from its journal, and trusts only what holds still."""

import json
import math
import signal
import subprocess
import sys
import time

import pytest

from neuron_catalog.catalog.evidence import read_evidence
from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Check, Difference
from neuron_catalog.proving import journal as journals
from neuron_catalog.proving import selftest as selftests
from neuron_catalog.proving.journal import Journal
from neuron_catalog.proving.selftest import Row, Way

PASSED = Check(
    name="values",
    status="passed",
    detail="",
    differences=(Difference(output="logits", seed=1, largest=0.0, allowed=1.0),),
)


@pytest.fixture
def ran(monkeypatch):
    """Replace the runs by rows that pass at once; returns the list of what was run."""
    seen = []

    def run_job(job):
        seen.append(job.task)
        return Row(architecture=job.architecture, task=job.task, backend="torchscript", checks=(PASSED,))

    monkeypatch.setattr(selftests, "run_job", run_job)
    return seen


def lines(path):
    return path.read_text("utf-8").splitlines()


def test_rows_of_another_wish_to_the_compiler_are_no_answer(catalog, tmp_path):
    row = Row(architecture="esm", task="fill-mask", backend="torchscript", checks=(PASSED,))
    asked = Journal(tmp_path / "rows", catalog, Way(compiler={"auto_cast": "none"}))
    asked.add(row)
    assert Journal(tmp_path / "rows", catalog).passed(["esm"]) == []
    assert [each.task for each in asked.passed(["esm"])] == ["fill-mask"]


def test_rows_that_passed_are_not_run_again(run, ran, tmp_path):
    first = run("selftest", "esm", "--resume", "kept/rows.jsonl")
    assert (first[0], first[1].splitlines()[-1], len(ran)) == (0, "4 of 4 passed.", 4)
    written = (tmp_path / "kept" / "rows.jsonl").read_bytes()
    code, out, err = run("selftest", "esm", "--resume", "kept/rows.jsonl")
    assert len(ran) == 4
    assert out.splitlines() == ["4 of 4 rows passed before: taken from kept/rows.jsonl.", "4 of 4 passed."]
    assert (tmp_path / "kept" / "rows.jsonl").read_bytes() == written


def test_other_architectures_of_the_same_file_are_run(run, ran, tmp_path):
    run("selftest", "esm", "--resume", "rows")
    code, out, err = run("selftest", "esm", "mpnet", "--resume", "rows", "--json")
    assert (code, len(json.loads(out)), len(ran)) == (0, len(lines(tmp_path / "rows")), len(json.loads(out)))


@pytest.mark.parametrize("left", [1, 9, 60, 400])
def test_a_line_that_was_cut_off_is_run_again(left, run, ran, tmp_path):
    run("selftest", "esm", "--resume", "rows")
    path = tmp_path / "rows"
    *whole, last = lines(path)
    path.write_text("\n".join([*whole, last[:left]]), "utf-8")
    code, out, err = run("selftest", "esm", "--resume", "rows")
    assert (code, len(ran), out.splitlines()[0][:6]) == (0, 5, "3 of 4")
    assert [json.loads(line)["row"]["task"] for line in lines(path)] == ran[:4]


def test_a_file_with_nothing_but_a_line_that_was_cut_off(run, ran, tmp_path):
    (tmp_path / "rows").write_text('{"self', "utf-8")
    assert run("selftest", "esm", "--resume", "rows")[0] == 0
    assert (len(ran), len(lines(tmp_path / "rows"))) == (4, 4)


@pytest.mark.parametrize("text", ["# Notes\n", "notes without an end", '{"selftest": 1}\n', "\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(text, run, ran, tmp_path):
    (tmp_path / "notes").write_text(text, "utf-8")
    code, out, err = run("selftest", "esm", "--resume", "notes")
    assert (code, ran) == (4, [])
    assert "notes:1 is no row of a selftest" in err
    assert (tmp_path / "notes").read_text("utf-8") == text


def test_a_file_that_cannot_be_written(run, ran, tmp_path):
    code, out, err = run("selftest", "esm", "--resume", ".")
    assert (code, ran, "cannot be read or written" in err) == (4, [], True)
    (tmp_path / "file").write_text("", "utf-8")
    code, out, err = run("selftest", "esm", "--resume", "file/rows")
    assert (code, "cannot be read or written" in err) == (4, True)


@pytest.fixture
def overlay(tmp_path, catalog):
    """A catalog folder with an architecture of its own; returns its file."""
    path = tmp_path / "mine" / "architectures" / "esm.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(catalog.file_of("esm").read_text("utf-8"), "utf-8")
    return path


def test_a_changed_definition_is_run_again(run, ran, overlay):
    command = ("--catalog", "mine", "selftest", "esm", "--resume", "rows")
    run(*command)
    overlay.write_text(overlay.read_text("utf-8").replace("hidden_size: 32", "hidden_size: 64"), "utf-8")
    run(*command)
    assert len(ran) == 8
    run(*command)
    assert len(ran) == 8


def test_another_seed_is_another_run(run, ran):
    run("selftest", "esm", "--resume", "rows")
    run("selftest", "esm", "--resume", "rows", "--seed", "1")
    assert len(ran) == 8


def test_other_versions_and_other_code_are_run_again(run, ran, monkeypatch):
    run("selftest", "esm", "--resume", "rows")
    with monkeypatch.context() as patch:
        patch.setattr(journals, "versions_of", lambda catalog, architecture, backend: {"torch": "3"})
        run("selftest", "esm", "--resume", "rows")
    assert len(ran) == 8
    monkeypatch.setattr(journals, "code_digest", lambda: "another")
    run("selftest", "esm", "--resume", "rows")
    assert len(ran) == 12


def test_the_code_that_decides_counts_and_nothing_else(tmp_path):
    digests = set()
    for place in ("plan/dims.py", "proving/selftest.py", "cli/main.py", "plan/notes.txt"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text("1", "utf-8")
        digests.add(journals.code_digest(tmp_path))
    assert len(digests) == 2


def row_of(status, largest):
    seen = Difference(output="logits", seed=1, largest=largest, allowed=1.0)
    check = Check(name="values", status=status, detail="", differences=(seen,))
    return Row(architecture="esm", task="fill-mask", backend="torchscript", checks=(check,))


def test_rows_that_did_not_pass_are_kept_for_the_eye_only(catalog, tmp_path):
    journal = Journal(tmp_path / "rows", catalog)
    journal.add(row_of("failed", math.nan))
    journal.add(row_of("failed", math.inf))
    assert journal.passed(["esm"]) == []
    assert len(lines(tmp_path / "rows")) == 2
    passed = row_of("passed", 0.0)
    journal.add(passed)
    assert journal.passed(["esm"]) == [passed]
    journal.add(row_of("failed", 1.0))
    assert journal.passed(["esm"]) == []


def test_recording_takes_rows_of_the_file_with_the_day_they_were_run(
    run, ran, overlay, monkeypatch, tmp_path
):
    command = ("--catalog", "mine", "selftest", "esm", "--resume", "rows")
    run(*command)
    text = (tmp_path / "rows").read_text("utf-8")
    (tmp_path / "rows").write_text(text.replace(selftests.today(), "2026-01-02"), "utf-8")
    assert run(*command, "--record")[0] == 0
    runs = read_evidence(tmp_path / "mine" / "evidence" / "esm.jsonl")
    assert (len(ran), len(runs), {each.date for each in runs}) == (4, 4, {"2026-01-02"})


def test_an_unknown_name_is_told_before_anything_runs(catalog, tmp_path):
    with pytest.raises(RequestError, match="no architecture 'ems'"):
        Journal(tmp_path / "rows", catalog).passed(["esm", "ems"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "jobs", "code"), [(signal.SIGINT, 2, 130), (signal.SIGTERM, 2, 143), (signal.SIGKILL, 1, -9)]
)
def test_a_run_that_was_stopped_goes_on(how, jobs, code, run, ran, tmp_path):
    path = tmp_path / "rows"
    command = ["selftest", "bert", "distilbert", "--resume", "rows"]
    child = subprocess.Popen(
        [sys.executable, "-m", "neuron_catalog", *command, "--jobs", str(jobs)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (path.is_file() and path.stat().st_size) and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(how)
    told = child.communicate()[1]
    assert (child.returncode, "Traceback" in told) == (code, False)
    status, out, err = run(*command)
    kept, total = len(lines(path)) - len(ran), len(lines(path))
    assert (status, out.splitlines()[-1]) == (0, f"{total} of {total} passed.")
    assert 0 < kept < total
    assert out.startswith(f"{kept} of {total} rows passed before")
