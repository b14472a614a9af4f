"""Put a pipeline of diffusers together from its modules and a folder with everything else."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.models.components import class_of
from neuron_catalog.models.libraries import PIPELINE_FILE
from neuron_catalog.models.sources import hub_errors, quiet_transformers

INDEX_NAME = PIPELINE_FILE
LIBRARIES = ("diffusers", "transformers")
"""The libraries whose classes are loaded; a checkpoint may name any, and code is not loaded on its word."""

SAFETY_SWITCH = "requires_safety_checker"
"""Argument by which a pipeline of diffusers warns if it has no safety checker. None is exported."""


def read_index(folder: Path) -> dict[str, Any]:
    """Return what a folder says about the pipeline in it.

    Raises:
        RequestError: if it holds none.
    """
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{folder} holds no pipeline of diffusers: {INDEX_NAME}: {first_line(error)}",
            "Give a folder that save_pretrained of a pipeline wrote, or an id of the hub.",
        ) from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise RequestError(f"{path} names no class of a pipeline.", "Copy the checkpoint again.")
    return index


def assembled(pipeline_class: Any, folder: Path, modules: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Return a pipeline of a class of diffusers.

    Each argument is taken from `given`, else from `modules`, else from the folder: tokenizers, schedulers,
    feature extractors, and plain settings. What is nowhere is None, as for a checkpoint without it.

    Raises:
        RequestError: if a file in the folder cannot be read.
    """
    index = read_index(folder)
    arguments: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(pipeline_class.__init__).parameters.items())[1:]:
        if name in given or name in modules:
            arguments[name] = given[name] if name in given else modules[name]
        elif isinstance(index.get(name), list):
            arguments[name] = _loaded(folder / name, *index[name])
        elif name in index:
            arguments[name] = index[name]
        elif parameter.default is inspect.Parameter.empty:
            arguments[name] = None
    if SAFETY_SWITCH in inspect.signature(pipeline_class.__init__).parameters:
        arguments[SAFETY_SWITCH] = arguments.get("safety_checker") is not None
    with quiet_transformers():
        return pipeline_class(**arguments)


def _loaded(folder: Path, library: str | None, name: str | None) -> Any:
    """Return what lies in a folder, or None if there is nothing."""
    if not folder.is_dir() or library not in LIBRARIES or name is None:
        return None
    with hub_errors(str(folder), library), quiet_transformers():
        return class_of(library, name, folder.name).from_pretrained(folder)
