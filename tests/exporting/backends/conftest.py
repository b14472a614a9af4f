"""Machines with a double of the Neuron SDK."""

import importlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from neuron_catalog.exporting import backends
from neuron_catalog.exporting.backends import neuron, neuronx
from neuron_catalog.sdk import machine

DOUBLES = Path(__file__).parents[2] / "doubles"


def install_doubles(monkeypatch):
    """Let this process, and those that it starts, find the doubles."""
    monkeypatch.syspath_prepend(str(DOUBLES))
    monkeypatch.setenv("PYTHONPATH", str(DOUBLES), prepend=os.pathsep)


def make_machine(monkeypatch, tmp_path, instance):
    """Let this machine be an instance with one Neuron device."""
    place = tmp_path / "machine"
    place.mkdir()
    (place / "neuron0").touch()
    (place / "product_name").write_text(f"{instance}\n")
    monkeypatch.setattr(machine, "DEVICES", place)
    monkeypatch.setattr(machine, "PRODUCT", place / "product_name")


@pytest.fixture
def sdk(monkeypatch, tmp_path):
    """Install the double on a trn1, and compile in this process; what it was called with is in `calls`."""
    install_doubles(monkeypatch)
    double = importlib.import_module("torch_neuronx")
    double.calls.clear()
    monkeypatch.setattr(double, "device", SimpleNamespace(target="trn1", cores=2, busy=False))
    make_machine(monkeypatch, tmp_path, "trn1.2xlarge")
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


@pytest.fixture
def inf1(monkeypatch, tmp_path):
    """Install the double of torch-neuron on an Inf1, and compile in this process; return the double."""
    install_doubles(monkeypatch)
    double = importlib.import_module("torch_neuron")
    double.calls.clear()
    monkeypatch.setattr(double, "device", SimpleNamespace(present=True))
    make_machine(monkeypatch, tmp_path, "inf1.xlarge")
    here = SimpleNamespace(**{**vars(neuron), "APART": False})
    monkeypatch.setitem(backends.BACKENDS, "neuron", here)
    return double
