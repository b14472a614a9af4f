"""Sweeps on a Ray cluster of two machines, which are two raylets of this one."""

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest
from tests.sweeping.waiting import wait_for

from neuron_catalog.sweeping.destination import Destination

pytestmark = pytest.mark.slow

SIZES = {"batch_size": [1, 2, 3, 4], "sequence_length": 8}


@pytest.fixture(scope="module")
def cluster():
    """Two machines with a processor each; one has NeuronCores, too, as far as Ray is told."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1, resources={"neuron_cores": 4})
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.fixture
def on_ray(cluster):
    """Begin a sweep in a process of its own."""

    def begin(command, what, *options):
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "neuron_catalog", "sweep", command, str(what), "--engine", "ray"),
                *("--address", cluster.address, *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return begin


def outcomes(tmp_path):
    return Destination(str(tmp_path / "out")).outcomes()


def files(tmp_path):
    return {each.name: each.stat().st_mtime_ns for each in (tmp_path / "out" / "outcomes").glob("*.json")}


def hands():
    """The processes that do jobs: children of Ray's workers."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(each.cmdline()) and "ray::" in " ".join(each.parent().cmdline()):
                found.append(each)
    return found


def test_both_machines_do_jobs(on_ray, sweep, tmp_path):
    driver = on_ray("run", sweep(axes=SIZES))
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, (out, err)
    assert out.splitlines()[-1].startswith("4 jobs: 4 done, 0 from the cache, 0 failed in ")
    found = outcomes(tmp_path).values()
    assert len({each.where for each in found}) == 2
    assert {each.state for each in found} == {"done"}
    wait_for(lambda: not hands())


@pytest.mark.parametrize("victim", ["worker", "process"])
def test_a_job_whose_worker_was_killed_is_done_again(on_ray, sweep, tmp_path, victim):
    driver = on_ray("run", sweep(axes={"batch_size": [1, 2], "sequence_length": 8}), "--jobs", "1")
    process = wait_for(hands)[0]
    (process.parent() if victim == "worker" else process).kill()
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, (out, err)
    assert sorted(each.attempts for each in outcomes(tmp_path).values()) == [1, 2]
    wait_for(lambda: not hands())


def test_a_machine_that_goes_away_takes_nothing_with_it(cluster, on_ray, sweep, tmp_path):
    third = cluster.add_node(num_cpus=1)
    try:
        driver = on_ray("run", sweep(axes=SIZES))
        wait_for(lambda: len(hands()) == 3)
    finally:
        cluster.remove_node(third, allow_graceful=False)
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err
    assert len(out.splitlines()) == 5, out  # what Ray says of it is no line of the sweep
    assert {each.state for each in outcomes(tmp_path).values()} == {"done"}


def test_a_sweep_whose_driver_was_killed_goes_on_and_repeats_nothing(on_ray, sweep, tmp_path, run):
    driver = on_ray("run", sweep(axes=SIZES), "--jobs", "1")
    driver.stdout.readline()
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=300)
    wait_for(lambda: not hands())
    before = files(tmp_path)
    assert 1 <= len(before) < 4
    driver = on_ray("resume", tmp_path / "out")
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, (out, err)
    assert len(files(tmp_path)) == 4
    assert before.items() <= files(tmp_path).items()


def test_ctrl_c_ends_what_runs_on_the_cluster(on_ray, sweep, tmp_path):
    driver = on_ray("run", sweep(axes=SIZES))
    driver.stdout.readline()
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 130, err
    assert "Interrupted" in err
    wait_for(lambda: not hands())
    assert len(files(tmp_path)) < 4


def test_limits_hold_there_too(on_ray, sweep, tmp_path):
    driver = on_ray("run", sweep(limits={"memory": "10M"}))
    assert driver.wait(timeout=300) == 11
    driver.communicate(timeout=300)
    (outcome,) = outcomes(tmp_path).values()
    assert (outcome.cause, outcome.attempts) == ("It took more than 0.01 GB of memory.", 1)


def test_a_job_that_needs_neuron_cores_gets_its_own(on_ray, sweep, tmp_path):
    driver = on_ray("run", sweep(limits={"neuron_cores": 2}))
    process = wait_for(hands)[0]
    cores = process.environ()["NEURON_RT_VISIBLE_CORES"]
    driver.communicate(timeout=300)
    assert driver.returncode == 0
    assert len(cores.split(",")) == 2
    wait_for(lambda: not hands())


def test_what_no_machine_has_is_waited_for(on_ray, sweep):
    driver = on_ray("run", sweep(limits={"cpus": 64}))
    assert driver.stderr.readline() == "No machine of the cluster has what a job needs; waiting for one.\n"
    driver.send_signal(signal.SIGINT)
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 130, err


def test_another_version_of_ray_is_refused_before_a_job_begins(cluster, sweep, tmp_path):
    arguments = ["sweep", "run", str(sweep()), "--engine", "ray", "--address", cluster.address]
    code = "import sys, ray; ray.__version__ = '2.1.0'; from neuron_catalog.cli.main import main; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}sys.exit(main({arguments!r}))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert f"Ray could not connect to {cluster.address}: Version mismatch:" in done.stderr
    assert "Ray: 2.1.0" in done.stderr
    assert outcomes(tmp_path) == {}
