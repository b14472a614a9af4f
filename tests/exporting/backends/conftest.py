"""A machine with the double of the Neuron SDK."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import neuronx
from neuron_catalog.sdk import machine

DOUBLES = Path(__file__).parents[2] / "doubles"


@pytest.fixture
def sdk(monkeypatch, tmp_path):
    """Install the double on a trn1, and compile in this process; what it was called with is in `calls`."""
    monkeypatch.syspath_prepend(str(DOUBLES))
    monkeypatch.setenv("PYTHONPATH", str(DOUBLES))
    double = importlib.import_module("torch_neuronx")
    double.calls.clear()
    monkeypatch.setattr(double, "device", SimpleNamespace(target="trn1", cores=2, busy=False))
    place = tmp_path / "machine"
    place.mkdir()
    (place / "neuron0").touch()
    (place / "product_name").write_text("trn1.2xlarge\n")
    monkeypatch.setattr(machine, "DEVICES", place)
    monkeypatch.setattr(machine, "PRODUCT", place / "product_name")
    here = SimpleNamespace(**{**vars(neuronx), "APART": False})
    monkeypatch.setitem(backends.BACKENDS, "neuronx", here)
    return double


@pytest.fixture
def no_device(sdk, monkeypatch):
    """Take the device away."""
    machine.DEVICES.joinpath("neuron0").unlink()
    sdk.device.target = None
    return sdk


@pytest.fixture
def calls(sdk):
    """Return the arguments of each call of a function of the double."""

    def of(name):
        return [arguments for each, arguments in sdk.calls if each == name]

    return of
