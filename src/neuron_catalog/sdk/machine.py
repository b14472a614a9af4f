"""What this machine has of Neuron: devices, and the kind of instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuron_catalog.sdk.releases import targets

DEVICES = Path("/dev")
PRODUCT = Path("/sys/devices/virtual/dmi/id/product_name")
"""On EC2 the kernel names the instance type here, such as `inf2.xlarge`."""


@dataclass(frozen=True)
class Machine:
    """The Neuron devices of a machine."""

    devices: int
    """How many the driver shows."""
    instance: str
    """The instance type, or whatever the maker calls the machine; empty if it is not told."""

    @property
    def target(self) -> str:
        """What to compile for, to run it here; empty if there is no device, or none that is known."""
        family = self.instance.partition(".")[0]
        named = [target for target in targets() if family.startswith(target)]  # trn2u has the devices of trn2
        return max(named, key=len) if self.devices and named else ""


def this_machine() -> Machine:
    """Look at the files of the driver and of the kernel."""
    try:
        instance = PRODUCT.read_text(encoding="utf-8").strip()
    except OSError:
        instance = ""
    return Machine(len([*DEVICES.glob("neuron[0-9]*")]), instance)


def core_version(target: str) -> int | None:
    """Return the version of a target's NeuronCore; None if the target is not known."""
    known = targets().get(target)
    return known.neuroncore if known else None
