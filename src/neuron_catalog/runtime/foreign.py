"""Read an artifact of optimum-neuron, which has no manifest: config.json says what it is, and no more."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.validator import not_validated
from neuron_catalog.manifest import (
    MANIFEST_NAME,
    AxisFit,
    BackendRecord,
    Graph,
    Manifest,
    Plan,
    SourceRecord,
)
from neuron_catalog.models.sources import CheckpointSource

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog

SECTION = "neuron"
"""Key of config.json under which optimum-neuron keeps what it compiled."""

COMPILER = "neuronx-cc"
SUFFIX = ".neuron"
STATIC = "static_"
UNVERIFIED = "made by optimum-neuron, which records no check"


def manifest_of(folder: Path) -> Manifest:
    """Return the manifest of an artifact, or what can be told of one of optimum-neuron, with a warning.

    Raises:
        RequestError: if the folder is neither.
    """
    if (folder / MANIFEST_NAME).is_file() or not is_foreign(folder):
        return Manifest.read(folder)
    warnings.warn(
        f"{folder} was {UNVERIFIED}: it is loaded unverified, read-only, and without digests.", stacklevel=3
    )
    from neuron_catalog.catalog.index import load_catalog  # an artifact of our own runs without the catalog

    return _told(folder, load_catalog())


def is_foreign(folder: Path) -> bool:
    """Whether a folder is an artifact of optimum-neuron."""
    section = _config(folder).get(SECTION)
    return isinstance(section, dict) and section.get("compiler_type") == COMPILER


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _told(folder: Path, catalog: Catalog) -> Manifest:
    config = _config(folder)
    section = config[SECTION]
    plan = _plan(folder, section, catalog)
    return Manifest(
        neuron_catalog="",
        file=_graph_file(folder).name,
        graphs=(
            Graph(name="forward", plan=plan, checks=not_validated(plan, UNVERIFIED), fits=tuple(_fits(plan))),
        ),
        backend=BackendRecord(
            name="neuronx",
            arguments={},
            versions={COMPILER: str(section.get("compiler_version", "unknown"))},
        ),
        source=SourceRecord(
            kind="checkpoint",
            model=str(config.get("_name_or_path") or "unknown"),
            weights_sha256="",
            weights_bytes=0,
        ),
        seed=0,
        files={},
    )


def _graph_file(folder: Path) -> Path:
    found = sorted(folder.glob(f"*{SUFFIX}"))
    if len(found) != 1:
        raise RequestError(
            f"{folder} has {len(found)} files *{SUFFIX}, where an artifact of optimum-neuron has one.",
            "Export the model again.",
        )
    return found[0]


def _plan(folder: Path, section: Mapping[str, Any], catalog: Catalog) -> Plan:
    """Bind the catalog's architecture to the sizes that were compiled.

    Raises:
        RequestError: if the catalog lacks the architecture or task, or a size is missing.
    """
    from neuron_catalog.plan.plan import Choices, make_plan

    source = CheckpointSource(model=str(folder))
    name = str(source.raw_config()["model_type"])
    task = catalog.supported_task(name, str(section.get("task")))
    used = catalog.axes(name, task)
    static = {key.removeprefix(STATIC): size for key, size in section.items() if key.startswith(STATIC)}
    options = ("output_hidden_states", "output_attentions")
    choices = Choices(
        axes={axis: size for axis, size in static.items() if axis in used and isinstance(size, int)},
        options=frozenset(option for option in options if section.get(option)),
        dynamic_batch_size=bool(section.get("dynamic_batch_size")),
    )
    return make_plan(catalog, name, task, source.config(), choices)


def _fits(plan: Plan) -> Iterator[AxisFit]:
    """Fill up what has a pad value, and rows, as optimum-neuron does; nothing of it was tried."""
    for axis, size in plan.axes.items():
        having = [tensor for tensor in plan.inputs if axis in tensor.axes]
        if size == 1 or not having:
            continue
        if all(tensor.axes[0] == axis for tensor in having):
            yield AxisFit(axis=axis, filled="rows", detail=UNVERIFIED)
        else:
            bare = [tensor.name for tensor in having if tensor.pad is None]
            detail = f"{bare[0]} has no pad value" if bare else UNVERIFIED
            yield AxisFit(axis=axis, filled=None if bare else "right", detail=detail)
