"""Is a model supported, for which tasks, with which sizes, and how far is it proved? If not: what is missing?

A folder or a model type needs no network, and nothing here imports torch.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.tiers import TIERS
from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.schema.documents import VersionBound


def model_type_of(model: str) -> tuple[str, str | None]:
    """Return the model type that a word, a folder or a hub id stands for, and the hub id if it is one.

    Raises:
        RequestError: if there is no such folder or repository, or its config.json names no model type.
    """
    path = Path(model)
    if path.is_dir():
        return _named_in(path / "config.json", model), None
    if "/" not in model:
        return model, None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        config = hf_hub_download(model, "config.json")
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise RequestError(
            f"{model} is no folder, and the hub does not give its config.json: {str(error).splitlines()[0]}",
            "Check the name and the network; a folder or a model type needs no network.",
        ) from error
    return _named_in(Path(config), model), model


def _named_in(config: Path, model: str) -> str:
    try:
        name = json.loads(config.read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        name = None
    if not isinstance(name, str):
        raise RequestError(
            f"{model} has no config.json that names a model_type.",
            "Give a folder written by save_pretrained, or a model type.",
        )
    return name


def explanation(model: str, catalog: Catalog) -> dict[str, Any]:
    """Return what is known of a model as facts, and as lines to print under `lines`.

    Raises:
        RequestError: if `model` is a path or an id that cannot be read.
    """
    model_type, _ = model_type_of(model)
    if model_type not in catalog.architectures:
        return {"model_type": model_type, "supported": False, "lines": _missing(model, model_type, catalog)}
    architecture = catalog.get(model_type)
    tasks = {task: _task(catalog, model_type, task) for task in architecture.tasks}
    lines = [f"{model_type} is supported: {architecture.summary}"]
    for task, facts in tasks.items():
        best, *others = facts["evidence"] or ["no run is recorded"]
        proofs = f"{best}; and {len(others)} more" if others else best
        needed = ", ".join(facts["mandatory_axes"])
        lines += [f"  {task}: {facts['tier']} ({proofs})", *([f"    needs {needed}"] if needed else [])]
    for package, bound in architecture.requires.items():
        concerned = f" for {', '.join(bound.tasks)}" if bound.tasks else ""
        lines.append(
            f"  needs {package}{bound.version}{concerned} ({_installed(bound, package)}): {bound.reason}"
        )
    lines += [f"  known issue on {i.backend} ({i.ref}): {i.effect}" for i in architecture.known_issues]
    facts = {"model_type": model_type, "supported": True, "family": architecture.family, "tasks": tasks}
    return {**facts, "lines": [*lines, f"Export it: {_command(model, model_type, catalog)}"]}


def _missing(model: str, model_type: str, catalog: Catalog) -> list[str]:
    from transformers import __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    absent = f"{model_type} is not in the catalog"
    if model_type not in CONFIG_MAPPING_NAMES:
        near = nearest(model_type, sorted({*catalog.architectures, *CONFIG_MAPPING_NAMES}))
        return [f"{absent}, and the installed transformers {__version__} does not know it; {near}"]
    return [
        f"{absent}, although transformers {__version__} knows it.",
        f"Write its file, and see which tasks pass or what stands in the way: neuron-catalog new {model}",
    ]


def _installed(bound: VersionBound, package: str) -> str:
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none is installed"
    fits = SpecifierSet(bound.version).contains(version, prereleases=True)
    return f"{version} is installed" if fits else f"not so {version}, which is installed"


def _task(catalog: Catalog, name: str, task: str) -> dict[str, Any]:
    runs = [run for run in catalog.evidence(name) if run.task == task]
    runs.sort(key=lambda run: (TIERS.index(run.tier), run.date), reverse=True)
    return {
        "tier": catalog.tiers(name)[task],
        "mandatory_axes": list(catalog.mandatory_axes(name, task)),
        "evidence": [
            f"{run.backend}, {', '.join(f'{k} {v}' for k, v in run.versions.items())}, {run.date}"
            for run in runs
        ],
    }


def _command(model: str, model_type: str, catalog: Catalog) -> str:
    """The command that exports it, with the suggested sizes for a checkpoint."""
    task = catalog.supported_tasks(model_type)[0]
    if model == model_type:
        return f"neuron-catalog export {model_type} --task {task}"
    axes = catalog.families[catalog.get(model_type).family].axes
    sizes = " ".join(f"--{axis} {axes[axis].suggest}" for axis in catalog.mandatory_axes(model_type, task))
    return f"neuron-catalog export --model {model} --task {task} {sizes}"
