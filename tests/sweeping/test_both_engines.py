"""The same sweep on one machine and on a cluster of two, for three backends: the same artifacts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuron_catalog.manifest import Manifest
from neuron_catalog.sweeping.destination import Destination

DOUBLES = Path(__file__).parents[1] / "doubles"
"""A double of the Neuron SDK; the third backend is compiled by it, in a process of its own."""

BACKENDS = ["torchscript", "torch-export", "neuronx"]


@pytest.fixture
def cluster(monkeypatch):
    """Two machines with a processor each, on which the double is installed."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(DOUBLES), prepend=os.pathsep)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def run(path, *options):
    command = [sys.executable, "-m", "neuron_catalog", "sweep", "run", str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, (done.stdout, done.stderr)


def told(place):
    """What a sweep came to: all that its artifacts and outcomes say, but for when and where."""
    outcomes = Destination(str(place)).outcomes()
    manifests = {name: Manifest.read(place / name) for name in outcomes}
    return {
        name: (outcome.state, outcome.difference, manifests[name].model_dump(exclude={"files"}))
        for name, outcome in outcomes.items()
    }


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param(range(1, 3), marks=pytest.mark.slow),
        pytest.param(range(1, 21), marks=pytest.mark.full),
    ],
    ids=lambda sizes: f"{len(BACKENDS) * len(sizes)} jobs",
)
def test_both_engines_make_the_same(cluster, sweep, tmp_path, sizes):
    axes = {"batch_size": [*sizes], "sequence_length": 8}
    said = {"axes": axes, "backends": BACKENDS, "compiler": {"target": "trn1"}}
    run(sweep(**said, destination="alone"), "--jobs", "2")
    run(
        sweep(**said, destination="there"),
        "--engine",
        "ray",
        "--address",
        cluster.address,
    )
    alone, there = told(tmp_path / "alone"), told(tmp_path / "there")
    assert len(alone) == len(BACKENDS) * len(sizes)
    assert {state for state, _, _ in alone.values()} == {"done"}
    assert there == alone
    targets = {facts["backend"]["arguments"].get("target") for _, _, facts in alone.values()}
    assert targets == {None, "trn1"}  # who has no such option is not given it
