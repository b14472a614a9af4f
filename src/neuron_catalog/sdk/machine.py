"""What this machine has of Neuron: devices, and the kind of instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neuron_catalog.sdk.releases import targets

DEVICES = Path("/dev")
INF1 = "inf1"
"""The first generation. It has a compiler of its own, neuron-cc, and is no target of neuronx-cc."""

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
    def family(self) -> str:
        """What an instance type begins with, such as `trn2u`."""
        return self.instance.partition(".")[0]

    @property
    def is_inf1(self) -> bool:
        """Whether the devices are of the first generation."""
        return bool(self.devices) and self.family == INF1

    @property
    def target(self) -> str:
        """What to compile for, to run it here; empty if there is no device, or none that is known."""
        named = [target for target in targets() if self.family.startswith(target)]  # trn2u has those of trn2
        return max(named, key=len) if self.devices and named else ""


def this_machine() -> Machine:
    """Look at the files of the driver and of the kernel."""
    try:
        instance = PRODUCT.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        instance = ""
    return Machine(len([*DEVICES.glob("neuron[0-9]*")]), instance)


def core_version(target: str) -> int | None:
    """Return the version of a target's NeuronCore; None if the target is not known."""
    known = targets().get(target)
    return known.neuroncore if known else None
