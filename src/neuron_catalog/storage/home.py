"""Where this package keeps things on a machine."""

from __future__ import annotations

import os
from pathlib import Path

PLACE = "NEURON_CATALOG_CACHE"
"""The environment variable that names another folder for the compile cache; empty, there is none."""


REMOTE = "NEURON_CATALOG_REMOTE_CACHE"
"""The environment variable that names a store which is asked for what this machine has not compiled."""


def remote_cache() -> str | None:
    """Return the address of the shared cache, if there is one."""
    return os.environ.get(REMOTE) or None


def cache_home() -> Path | None:
    """Return the folder of what is remembered, if there is a place: `$XDG_CACHE_HOME/neuron-catalog`."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification: ignore relative paths
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "neuron-catalog"


def compile_cache_home() -> Path | None:
    """Return the folder of the compile cache, if there is a place, and it was not turned off."""
    given = os.environ.get(PLACE)
    if given is not None:
        return Path(given).expanduser().absolute() if given else None
    home = cache_home()
    return home / "compiled" if home else None
