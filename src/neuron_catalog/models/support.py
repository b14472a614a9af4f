"""Is a checkpoint's model type supported, and for which task was it trained?"""

from __future__ import annotations

from importlib import metadata

import transformers
from packaging.specifiers import SpecifierSet
from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.models.sources import CheckpointSource


def require_supported(catalog: Catalog, model_type: str) -> None:
    """Make sure that catalog and installed packages can serve a model type.

    Raises:
        RequestError: unknown to the catalog, unknown to the installed transformers, or excluded by the
            version bounds of the architecture: three different sentences.
    """
    installed = f"transformers {transformers.__version__}"
    known_to_transformers = model_type in CONFIG_MAPPING_NAMES
    if model_type not in catalog.architectures:
        if not known_to_transformers:
            raise RequestError(
                f"The installed {installed} does not know the model type {model_type!r}, "
                f"nor does the catalog; {nearest(model_type, catalog.architectures)}",
                "Upgrade transformers, or check model_type in the config.json.",
            )
        raise RequestError(
            f"The model type {model_type!r} is not in the catalog, although {installed} knows it; "
            f"{nearest(model_type, catalog.architectures)}",
            f"Add catalog/architectures/{model_type}.yaml: CONTRIBUTING.md shows how.",
        )
    for package, bound in catalog.get(model_type).requires.items():
        version = _installed_version(package)
        if version is None or not SpecifierSet(bound.version).contains(version, prereleases=True):
            raise RequestError(
                f"{model_type} needs {package}{bound.version}, but "
                f"{version or 'none'} is installed: {bound.reason}",
                f'Install it: pip install "{package}{bound.version}"',
            )
    if not known_to_transformers:
        raise RequestError(
            f"The installed {installed} does not know the model type {model_type!r}, "
            "although the catalog does.",
            "Upgrade transformers.",
        )


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def task_of(catalog: Catalog, model_type: str, config: PretrainedConfig) -> str:
    """Return the task a checkpoint was trained for, from the `architectures` of its config.

    Raises:
        RequestError: if they name no task of this architecture, or several; the choices are listed.
    """
    trained = set(config.architectures or ())
    supported = catalog.supported_tasks(model_type)
    found = [task for task in supported if trained & _class_names(catalog.tasks[task].auto_class, config)]
    if len(found) == 1:
        return found[0]
    named = ", ".join(sorted(trained)) or "nothing"
    choices = ", ".join(found or supported)
    raise RequestError(
        f"The task cannot be told from the model's config: its architectures name {named}.",
        f"Add --task with one of: {choices}.",
    )


def _class_names(auto_class: str, config: PretrainedConfig) -> set[str]:
    """Return the names of the model classes that an auto class builds from this kind of config."""
    mapping = getattr(transformers, auto_class)._model_mapping
    if type(config) not in mapping:
        return set()
    classes = mapping[type(config)]
    return {cls.__name__ for cls in (classes if isinstance(classes, (list, tuple)) else [classes])}


def infer_task(model: str, catalog: Catalog | None = None) -> str:
    """Return the task that a folder or hub id was trained for.

    Raises:
        RequestError: if it cannot be read, is not supported, or names no single task.
    """
    catalog = catalog or load_catalog()
    source = CheckpointSource(model=model)
    model_type = source.raw_config()["model_type"]
    require_supported(catalog, model_type)
    return task_of(catalog, model_type, source.config())
