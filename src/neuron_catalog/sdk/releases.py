"""Which packages an SDK has, what the compiler compiles for, and what was announced about both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated

from packaging.version import InvalidVersion, Version
from pydantic import Field, TypeAdapter

from neuron_catalog.sdk.records import Fact, Items, Source, Text, keyed, read_facts

Date = Annotated[str, Field(pattern=r"^20\d\d-\d\d-\d\d$")]
Numbers = Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]

TORCH_NEURONX = "torch-neuronx"
"""The package that has `torch_neuronx.trace`, and another one by that name from SDK 2.33 on."""


class Release(Fact):
    """One version of the SDK. A package that is absent was not shipped, or its version is not known."""

    sdk: Numbers
    date: Date
    torch_neuronx: Items[Numbers] = ()
    """Those based on PyTorch/XLA, which have `torch_neuronx.trace`. They begin with the version of torch."""
    torchneuron: Items[Numbers] = ()
    """TorchNeuron: the native backend of PyTorch, which is installed as torch-neuronx, too."""
    neuronx_cc: Items[Numbers] = ()
    libneuronxla: Items[Numbers] = ()
    python: Items[Numbers] = ()
    """Versions of Python that its packages are built for."""
    source: Source

    @property
    def torch(self) -> tuple[str, ...]:
        """Versions of torch that it has a torch-neuronx with `trace` for, such as `2.9`."""
        return tuple(".".join(version.split(".")[:2]) for version in self.torch_neuronx)

    def versions(self, package: str) -> tuple[str, ...]:
        """Return the versions of a package by its name on the index; TorchNeuron has none here.

        Raises:
            KeyError: if it is no package that the data tells of.
        """
        return PACKAGES[package](self)


PACKAGES: dict[str, Callable[[Release], tuple[str, ...]]] = {
    TORCH_NEURONX: lambda release: release.torch_neuronx,
    "neuronx-cc": lambda release: release.neuronx_cc,
    "libneuronxla": lambda release: release.libneuronxla,
}
"""Package → its versions in a release."""


class Target(Fact):
    """What the compiler compiles for."""

    name: Text
    neuroncore: int
    """The version of the NeuronCore."""
    instances: Text
    """The family of EC2 instances."""
    listed: bool
    """Whether the compiler's page names it; trn3 is seen in other documents only."""
    source: Source


class Announcement(Fact):
    """What was announced, in a sentence."""

    date: Date
    sdk: Numbers
    says: Text
    source: Source


class _Facts(Fact):
    releases: Annotated[dict[str, Release], keyed("sdk")]
    targets: Annotated[dict[str, Target], keyed("name")]
    announcements: Items[Announcement]


def releases() -> Mapping[str, Release]:
    """Return SDK version → release, the oldest first."""
    return MappingProxyType(_facts().releases)


def targets() -> Mapping[str, Target]:
    """Return name → target. A name that is absent may be a newer one: warn, and let it pass."""
    return MappingProxyType(_facts().targets)


def announcements() -> tuple[Announcement, ...]:
    """Return what was announced, the oldest first."""
    return _facts().announcements


def last_with(package: str) -> Release:
    """Return the newest SDK that has a package. For torch-neuronx it is the last one with `trace`.

    Raises:
        KeyError: if no SDK has it.
    """
    return max(_having(package), key=lambda release: Version(release.sdk))


def release_of(package: str, version: str) -> Release | None:
    """Return the first SDK that has this version of a package, or None if none is known.

    A local part is ignored: pip names what is installed `2.26.6360.0+6f180f47`. TorchNeuron's versions are
    found as those of torch-neuronx; what follows their fourth number differs from build to build.

    Raises:
        KeyError: if it is no package that the data tells of.
    """
    having = _having(package)
    try:
        wanted = Version(version)
    except InvalidVersion:
        return None
    for release in having:
        if Version(wanted.public) in map(Version, release.versions(package)):
            return release
    if package != TORCH_NEURONX:
        return None
    family = ".".join(map(str, wanted.release[:4]))
    return next((each for each in _facts().releases.values() if family in each.torchneuron), None)


def python_supported(version: str) -> bool:
    """Return whether the last SDK with `torch_neuronx.trace` is built for a Python, such as `3.12.3`."""
    return ".".join(version.split(".")[:2]) in last_with(TORCH_NEURONX).python


def _having(package: str) -> list[Release]:
    return [release for release in _facts().releases.values() if release.versions(package)]


@cache
def _facts() -> _Facts:
    return read_facts("releases", TypeAdapter(_Facts))
