"""What a machine is told to be, from the files of the driver and of the kernel."""

import pytest

from neuron_catalog.sdk import machine
from neuron_catalog.sdk.machine import Machine, core_version, this_machine
from neuron_catalog.sdk.releases import targets


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of the devices of a machine; the file of its instance type is not written yet."""
    devices = tmp_path / "dev"
    devices.mkdir()
    monkeypatch.setattr(machine, "DEVICES", devices)
    monkeypatch.setattr(machine, "PRODUCT", tmp_path / "product_name")
    return devices


INSTANCES = {
    "inf2.xlarge": "inf2",
    "inf2.48xlarge": "inf2",
    "trn1.2xlarge": "trn1",
    "trn1.32xlarge": "trn1",
    "trn1n.32xlarge": "trn1n",
    "trn2.48xlarge": "trn2",
    "trn2u.48xlarge": "trn2",
    "inf1.xlarge": "",
    "m5.large": "",
    "KVM": "",
    "": "",
}
"""Instance type → what is compiled for its devices."""


@pytest.mark.parametrize(("instance", "target"), INSTANCES.items())
def test_an_instance_with_devices_tells_what_to_compile_for(place, instance, target):
    (place / "neuron0").touch()
    machine.PRODUCT.write_text(f"{instance}\n", encoding="utf-8")
    assert this_machine() == Machine(devices=1, instance=instance)
    assert this_machine().target == target
    assert not target or target in targets()


@pytest.mark.parametrize("instance", INSTANCES)
def test_without_devices_nothing_is_compiled_for_unasked(place, instance):
    machine.PRODUCT.write_text(instance, encoding="utf-8")
    assert this_machine().devices == 0
    assert this_machine().target == ""
    assert not this_machine().is_inf1


def test_a_machine_may_not_tell_what_it_is(place):
    (place / "neuron0").touch()
    assert this_machine() == Machine(devices=1, instance="")
    assert this_machine().target == ""


def test_a_product_that_is_no_file_is_no_instance(place):
    machine.PRODUCT.mkdir()
    assert this_machine().instance == ""


def test_a_product_of_other_bytes_is_read(place):
    machine.PRODUCT.write_bytes(b"\xff\xfe board")
    assert this_machine().instance.endswith(" board")


def test_devices_are_counted_and_nothing_else(place):
    for name in ("neuron0", "neuron1", "neuron15", "neuron", "neuron_monitor", "null", "xneuron2"):
        (place / name).touch()
    assert this_machine().devices == 3


def test_a_machine_without_the_folder_has_no_devices(place):
    place.rmdir()
    assert this_machine().devices == 0


@pytest.mark.parametrize("instance", ["inf1.xlarge", "inf1.24xlarge"])
def test_the_first_generation_is_known_and_is_no_target(instance):
    assert Machine(1, instance).is_inf1
    assert Machine(1, instance).target == ""
    assert not Machine(0, instance).is_inf1
    assert not Machine(1, "inf2.xlarge").is_inf1


def test_targets_with_the_same_cores_share_graphs():
    assert core_version("inf2") == core_version("trn1") == core_version("trn1n") == 2
    assert core_version("trn2") == 3
    assert core_version("m5") is None
