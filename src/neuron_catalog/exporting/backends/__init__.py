"""What turns a module into a compiled graph: one module for each backend, all with the same few functions.

Nothing outside this folder imports a backend's own packages.
"""

from __future__ import annotations

import warnings
from typing import cast

from packaging.version import Version

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.exporting.backends import neuron, neuronx, torch_export, torchscript, xla
from neuron_catalog.exporting.backends.protocol import Backend
from neuron_catalog.manifest import Manifest

BACKENDS: dict[str, Backend] = {
    "neuronx": cast("Backend", neuronx),
    "torchscript": cast("Backend", torchscript),
    "torch-export": cast("Backend", torch_export),
    "xla": cast("Backend", xla),
    "neuron": cast("Backend", neuron),
}
"""Name → module, the preferred one first."""


def backend_of(manifest: Manifest) -> Backend:
    """Return the backend that compiled an artifact.

    Raises:
        RequestError: if it cannot run here, or the artifact was compiled with a newer torch.
    """
    recorded = manifest.backend
    try:
        _, backend = choose(recorded.name)
    except RequestError as error:
        raise RequestError(
            f"The artifact was compiled by the backend {recorded.name}, which cannot run here: {error.cause}",
            "Load it where that backend is, or export again for this machine; see `neuron-catalog doctor`.",
        ) from error
    if reason := backend.unable_to_load(recorded.arguments, recorded.versions):
        raise RequestError(
            f"The artifact cannot run here: {reason}.",
            "Load it where it can, or export again for this machine; `neuron-catalog doctor` shows more.",
        )
    compiled, installed = recorded.versions.get("torch", ""), backend.versions()["torch"]
    if compiled and Version(compiled).release[:2] > Version(installed).release[:2]:
        raise RequestError(
            f"The artifact was compiled with torch {compiled}, and the installed torch {installed} is older.",
            "Upgrade torch, or export again.",
        )
    if compiled and Version(compiled).release[:2] < Version(installed).release[:2]:
        warnings.warn(
            f"The artifact was compiled and checked with torch {compiled}; {installed} is installed. "
            "`neuron-catalog validate` proves it again.",
            stacklevel=2,
        )
    return backend


def choose(name: str | None) -> tuple[str, Backend]:
    """Return the backend called `name`, or the first one that is available.

    Raises:
        RequestError: if it does not exist or cannot run here; the reason is in the message.
    """
    if name is None:
        name = next(each for each, backend in BACKENDS.items() if not backend.unavailable())
    if name not in BACKENDS:
        raise RequestError(
            f"There is no backend {name!r}; {nearest(name, BACKENDS)}",
            "`neuron-catalog doctor` shows which are available.",
        )
    reason = BACKENDS[name].unavailable()
    if reason:
        raise RequestError(
            f"The backend {name} is not available: {reason}.", "`neuron-catalog doctor` shows more."
        )
    return name, BACKENDS[name]
