"""What turns a module into a compiled graph: one module for each backend, all with the same few functions.

Nothing outside this folder imports a backend's own packages.
"""

from __future__ import annotations

from typing import cast

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.exporting.backends import torchscript
from neuron_catalog.exporting.backends.protocol import Backend

BACKENDS: dict[str, Backend] = {"torchscript": cast("Backend", torchscript)}
"""Name → module, the preferred one first."""


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
