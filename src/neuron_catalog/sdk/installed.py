"""Which packages of the Neuron SDK are installed, and why they may not serve."""

from __future__ import annotations

import platform
from importlib import metadata

from packaging.version import InvalidVersion, Version

from neuron_catalog.sdk.releases import Release, last_with, python_supported

INDEX = "https://pip.repos.neuron.amazonaws.com"
"""Where the packages are; on PyPI their names are taken by placeholders."""

FIRST_WITHOUT_TRACE = Version("2.10")
"""The first torch-neuronx that is TorchNeuron, another package by the same name."""

FIRST_REAL = Version("1.11")
"""The first torch-neuronx of an SDK. PyPI has a 1.0 that holds nothing."""

LAST_TORCH_NEURON = "1.13."
"""How the last torch-neuron's version begins, which is that of its torch."""


def installed(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def install_line() -> str:
    """Return the command that installs the last SDK with `torch_neuronx.trace`."""
    last = last_with("torch-neuronx")
    packages = f"torch-neuronx=={last.torch_neuronx[-1]} neuronx-cc=={last.neuronx_cc[-1]}"
    return f"pip install {packages} --extra-index-url {INDEX}"


def trace_unavailable() -> str:
    """Return why `torch_neuronx.trace` is not here, with what to install; empty if it is."""
    last = last_with("torch-neuronx")
    version = installed("torch-neuronx")
    if version is None:
        return _absent(last)
    try:
        number = Version(version)
    except InvalidVersion:
        return ""
    if number.release[:2] >= FIRST_WITHOUT_TRACE.release:
        without = f"torch-neuronx {version} is TorchNeuron, which has no trace"
        return f"{without}; install SDK {last.sdk}: {install_line()}"
    if number < FIRST_REAL:
        return f"torch-neuronx {version} is a placeholder of PyPI; the real one comes by: {install_line()}"
    return ""


def _absent(last: Release) -> str:
    if newer := next(filter(installed, ("libtorch-neuronx-lite", "vllm-neuron")), None):
        return (
            f"{newer} is of a Neuron SDK after {last.sdk}, which has no torch-neuronx with trace; "
            f"install SDK {last.sdk}: {install_line()}"
        )
    if not python_supported(platform.python_version()):
        built = f"{last.python[0]} to {last.python[-1]}"
        return (
            f"torch-neuronx is built for Python {built}, and this is {platform.python_version()}; "
            f"make an environment with Python {last.python[-1]}"
        )
    return (
        "the Neuron SDK is not installed; with it any machine compiles, and one with a Neuron device runs "
        f"graphs: {install_line()}"
    )


def inf1_unavailable() -> str:
    """Return why `torch_neuron.trace`, which compiles for Inf1, is not here; empty if it is.

    The archived pages say that Inf1 is no longer supported (setup/pytorch-install.rst, 2026-03-11); its
    environments ended with SDK 2.27 (announce-eos-inf1-virtual-environments.rst).
    """
    if (installed("torch-neuron") or "").startswith(LAST_TORCH_NEURON):
        return ""
    return (
        "torch-neuron, which compiles for Inf1, needs torch 1.13 and Python 3.7 to 3.10, and neuron-catalog "
        "torch 2.9 and Python 3.11 or later, so no environment can have both; AWS ended its environments for "
        "Inf1 in December 2025 and archived torch-neuron in March 2026: take Inf2 or Trn1, backend neuronx"
    )
