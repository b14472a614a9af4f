"""What is wrong with a cluster is told before a job begins."""

import pytest

from neuron_catalog.code import code_digest
from neuron_catalog.errors import RequestError, RequirementError
from neuron_catalog.sweeping import on_ray, sweeper
from neuron_catalog.version import __version__


def machine(version=__version__, code=None, sees=True):
    return on_ray._Machine("far", version, code or code_digest(), sees)


def test_without_ray_it_is_said_how_to_get_it(run, sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeper, "find_spec", lambda name: None)
    code, _, err = run("sweep", "run", str(sweep()), "--engine", "ray")
    assert code == 4
    assert 'Install it with: pip install "neuron-catalog[ray]"' in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "Ray could not connect to 127.0.0.1:1: [Errno 111] Connection refused."),
        ("head:port", "Ray could not connect to head:port: 'port' is no port."),
        ("ray://head:10001", "sweeps do not go through Ray Client; give the address of the cluster itself."),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(run, sweep, tmp_path, address, said):
    code, _, err = run("sweep", "run", str(sweep()), "--engine", "ray", "--address", address)
    assert code == 4
    assert said in err
    assert not (tmp_path / "out" / "outcomes").exists()


def test_an_address_is_rays(run, sweep):
    code, _, err = run("sweep", "run", str(sweep()), "--address", "auto")
    assert (code, err) == (4, "Error: An address is that of a Ray cluster.\n  Fix: Add --engine ray.\n")


def test_processes_do_not_share_out_neuron_cores(run, sweep):
    code, _, err = run("sweep", "run", str(sweep(limits={"neuron_cores": 1})))
    assert code == 4
    assert "The engine local does not share out NeuronCores." in err


def test_a_machine_that_fits_is_taken():
    machine().require_fit("/shared")


@pytest.mark.parametrize("other", [{"version": "0.0.1"}, {"code": "0123"}])
def test_a_machine_with_another_package_is_refused(other):
    with pytest.raises(RequirementError, match=r"far has neuron-catalog .* its code differs") as error:
        machine(**other).require_fit("/shared")
    assert error.value.remedy == "Install the same version on every machine of the cluster."


def test_a_machine_that_does_not_see_the_destination_is_refused():
    with pytest.raises(RequestError, match=r"far does not see the folder /mine\.") as error:
        machine(sees=False).require_fit("/mine")
    assert "s3://bucket/folder" in error.value.remedy


def test_how_many_jobs_fit_into_a_machine():
    bounds = on_ray.Bounds(memory_bytes=4_000, cpus=2, neuron_cores=1)
    assert on_ray._places({"CPU": 9, "memory": 13_000, "neuron_cores": 8}, bounds) == 3
    assert on_ray._places({"CPU": 9, "memory": 13_000}, bounds) == 0
    assert on_ray._places({"CPU": 9}, on_ray.Bounds(cpus=2)) == 4
