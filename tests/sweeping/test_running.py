"""Sweeps are done by processes that may fail, be killed, or take too much; nothing that was done is lost."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from tests.sweeping.waiting import wait_for

from neuron_catalog.sweeping import local
from neuron_catalog.sweeping.destination import Destination
from neuron_catalog.sweeping.engine import Bounds, Order, drive

SIZES = {"batch_size": [1, 2], "sequence_length": 8}


def only_outcome(planned, bounds):
    plan = planned()
    with local.LocalEngine(Order(plan.place, bounds=bounds), 1) as engine:
        (outcome,) = drive(engine, plan.jobs, bounds.retries)
    return outcome


def test_a_sweep_is_run_and_told(run, sweep, tmp_path):
    code, out, _ = run("sweep", "run", str(sweep(axes=SIZES)), "--jobs", "1")
    assert code == 0
    first, second, last = out.splitlines()
    assert first.startswith("[1/2] esm.fill-mask.torchscript.batch_size_1.sequence_length_8: done, ")
    assert second.startswith("[2/2] esm.fill-mask.torchscript.batch_size_2.sequence_length_8: done, ")
    assert last.startswith("2 jobs: 2 done, 0 from the cache, 0 failed in ")
    assert (
        run("verify", str(tmp_path / "out" / "esm.fill-mask.torchscript.batch_size_1.sequence_length_8"))[0]
        == 0
    )
    assert run("sweep", "status", str(tmp_path / "out"))[1] == "2 jobs: 2 done, 0 from the cache, 0 failed\n"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    code, out, _ = run("sweep", "resume", str(tmp_path / "out"), "--json")
    assert (code, out) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_one_failure_stops_no_other(run, sweep, checkpoint, tmp_path):
    (tmp_path / "bare").mkdir()
    config = (checkpoint("esm", "fill-mask") / "config.json").read_text()
    (tmp_path / "bare" / "config.json").write_text(config)
    path = sweep(models=["./bare", "esm"], axes={"batch_size": 1, "sequence_length": 8})
    code, out, _ = run("sweep", "run", str(path), "--jobs", "1", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 11
    assert [(each["job"]["architecture"], each["state"]) for each in events] == [
        ("esm", "failed"),
        ("esm", "done"),
    ]
    assert events[0]["cause"] == f"The folder {tmp_path / 'bare'} has no weights (*.safetensors)."
    assert events[0]["remedy"]
    assert events[1]["difference"] < 1
    assert events[1]["artifact_bytes"] > 100_000
    said = run("sweep", "status", str(tmp_path / "out"))[1]
    assert "2 jobs: 1 done, 0 from the cache, 1 failed" in said
    assert "has no weights" in said
    assert run("sweep", "resume", str(tmp_path / "out"))[:2] == (
        11,
        "2 jobs: 1 done, 0 from the cache, 1 failed in 0 s.\n",
    )


def test_what_takes_too_much_memory_is_ended(planned):
    outcome = only_outcome(planned, Bounds(memory_bytes=10_000_000))
    assert (outcome.state, outcome.attempts) == ("failed", 1)
    assert (outcome.cause, outcome.remedy) == ("It took more than 0.01 GB of memory.", "Raise limits.memory.")


def test_what_takes_too_long_is_ended(planned):
    outcome = only_outcome(planned, Bounds(seconds=0.06))
    assert outcome.cause == "It took more than 0.001 minutes, and was ended."


class Killing:
    """An engine whose first process is killed: while it starts, or while it does its job."""

    def __init__(self, engine, when):
        self.engine, self.when, self.killed = engine, when, False
        self.capacity, self.next_ended = engine.capacity, engine.next_ended

    def start(self, job, attempt):
        hand = self.engine.start(job, attempt)
        if not self.killed:
            self.killed = True
            wait_for(self.when)
            psutil.Process(hand.process.pid).kill()
        return hand


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at once", "at work"])
@pytest.mark.parametrize(("retries", "state", "attempts"), [(1, "done", 2), (0, "failed", 1)])
def test_a_job_whose_process_was_killed_is_done_again(planned, tmp_path, when, retries, state, attempts):
    plan = planned(axes={"batch_size": [1, 2], "sequence_length": 8})
    moment = (lambda: True) if when == "at once" else (lambda: [*tmp_path.glob("out/.*")])
    with local.LocalEngine(Order(plan.place), 1) as engine:
        first, second = drive(Killing(engine, moment), plan.jobs, retries)
    assert (first.state, first.attempts) == (state, attempts)
    assert (second.state, second.attempts) == ("done", 1)
    if state == "failed":
        assert first.cause == "Its process was ended from outside (SIGKILL)."


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_has_nothing_to_do_is_replaced(planned):
    plan = planned(axes={"batch_size": [1, 2], "sequence_length": 8})
    with local.LocalEngine(Order(plan.place), 1) as engine:
        outcomes = drive(engine, plan.jobs, retries=0)
        next(outcomes)
        (hand,) = engine._free
        hand.process.kill()
        hand.process.join()
        assert next(outcomes).state == "done"


@pytest.mark.slow
def test_processes_are_replaced_now_and_then(planned, monkeypatch):
    monkeypatch.setattr(local, "JOBS_PER_PROCESS", 2)
    plan = planned(axes={"batch_size": [1, 2, 3], "sequence_length": 8})
    with local.LocalEngine(Order(plan.place), 1) as engine:
        places = [each.where for each in drive(engine, plan.jobs, retries=0)]
    assert places[0] == places[1] != places[2]


@pytest.mark.slow
def test_a_sweep_whose_driver_was_killed_goes_on_and_repeats_nothing(sweep, tmp_path, run):
    path = sweep(axes={"batch_size": [1, 2, 3, 4], "sequence_length": 8})
    driver = subprocess.Popen(
        [sys.executable, "-m", "neuron_catalog", "sweep", "run", str(path), "--jobs", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    driver.stdout.readline()
    workers = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    psutil.wait_procs(workers, 60)
    assert not [each for each in workers if each.is_running()]
    there = {each.name: each.stat().st_mtime_ns for each in (tmp_path / "out" / "outcomes").glob("*.json")}
    assert 1 <= len(there) < 4
    assert run("sweep", "status", str(tmp_path / "out"))[1].endswith(f"{4 - len(there)} not done yet\n")
    assert run("sweep", "resume", str(tmp_path / "out"))[0] == 0
    after = {each.name: each.stat().st_mtime_ns for each in (tmp_path / "out" / "outcomes").glob("*.json")}
    assert len(after) == 4
    assert there.items() <= after.items()
    assert {each.state for each in Destination(str(tmp_path / "out")).outcomes().values()} == {"done"}


@pytest.mark.slow
def test_ctrl_c_stops_cleanly_and_resume_goes_on(sweep, tmp_path, run):
    path = sweep(axes={"batch_size": [1, 2, 3], "sequence_length": 8})
    driver = subprocess.Popen(
        [sys.executable, "-m", "neuron_catalog", "sweep", "run", str(path), "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    driver.stdout.readline()
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate()
    assert driver.returncode == 130
    assert "Interrupted" in err
    left = [each.name for each in (tmp_path / "out").iterdir() if each.name.startswith(".")]
    assert left == []
    assert run("sweep", "resume", str(tmp_path / "out"))[0] == 0
    assert len(Destination(str(tmp_path / "out")).outcomes()) == 3


@pytest.mark.parametrize("command", ["run", "resume"])
def test_an_unknown_engine_is_refused_before_anything_is_written(command, run, sweep, tmp_path):
    code, _, err = run("sweep", command, str(sweep()), "--engine", "rey")
    assert code == 4
    assert "There is no engine 'rey'; did you mean ray?\n" in err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_wrong_is_called_a_sweep(run, sweep):
    code, _, err = run("sweep", "plan", str(sweep(models=[])))
    assert (code, err.splitlines()[-1]) == (3, "Error: the sweep has 1 problem.")


def test_another_sweep_is_not_mixed_in(run, sweep, tmp_path):
    run("sweep", "run", str(sweep(models=["./nothing"])))
    code, _, err = run("sweep", "run", str(sweep(axes={"batch_size": 3})))
    assert code == 4
    assert "has the artifacts of a sweep with other jobs" in err


def test_many_jobs_are_done_only_if_that_is_meant(run, sweep):
    path = sweep(axes={"batch_size": [*range(1, 102)], "sequence_length": [*range(1, 102)]})
    code, _, err = run("sweep", "plan", str(path))
    assert code == 2
    assert "comes to 10201 jobs." in err
    assert run("sweep", "plan", str(path), "--yes")[1].splitlines()[-1].startswith("10201 jobs, ")


def test_a_destination_that_cannot_be_written_is_told_before_anything_runs(run, sweep, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, _, err = run("sweep", "run", str(sweep()))
    assert code == 4
    assert "could not be written" in err


def test_artifacts_go_to_a_store(run, sweep, s3):
    assert run("sweep", "run", str(sweep(destination=s3)), "--jobs", "1")[0] == 0
    (outcome,) = Destination(s3).outcomes().values()
    assert outcome.state == "done"
    assert run("sweep", "status", s3)[1].startswith("1 job: 1 done")
