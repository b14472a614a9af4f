"""Is a checkpoint's model type supported, and for which task was it trained?"""

from __future__ import annotations

from importlib import metadata

import transformers
from packaging.specifiers import SpecifierSet
from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.catalog.selection import wrapper_of
from neuron_catalog.errors import RequestError, RequirementError, nearest
from neuron_catalog.models.libraries import LIBRARIES, saved_with
from neuron_catalog.models.wrappers import WRAPPERS
from neuron_catalog.schema.components import Selection
from neuron_catalog.schema.words import Library


def require_supported(catalog: Catalog, model_type: str, library: Library = "transformers") -> str:
    """Return the architecture that serves a model type, if catalog and installed packages can do so.

    Raises:
        RequestError: unknown to the catalog, or unknown to the installed transformers: different sentences.
        RequirementError: excluded by the version bounds of the architecture.
    """
    installed = f"transformers {transformers.__version__}"
    known_to_transformers = model_type in CONFIG_MAPPING_NAMES
    name = catalog.serving(library, model_type)
    if name not in catalog.architectures:
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
    require_packages(catalog.get(name))
    if not known_to_transformers:
        raise RequirementError(
            f"The installed {installed} does not know the model type {model_type!r}, "
            "although the catalog does.",
            "Upgrade transformers.",
        )
    return name


def require_packages(architecture: Selection, task: str | None = None) -> None:
    """Hold the installed packages to an architecture's version bounds: those of all tasks, and of `task`.

    Raises:
        RequirementError: naming the package, the version and the reason.
    """
    for package, bound in architecture.requires.items():
        if bound.tasks and task not in bound.tasks:
            continue
        version = _installed_version(package)
        if version is None or not SpecifierSet(bound.version).contains(version, prereleases=True):
            raise RequirementError(
                f"{architecture.name} needs {package}{bound.version}, but "
                f"{version or 'none'} is installed: {bound.reason}",
                f'Install it: pip install "{package}{bound.version}"',
            )


def require_wrapper(catalog: Catalog, name: str, task: str) -> None:
    """Make sure that transformers is new enough for the wrapper of a task.

    Raises:
        RequirementError: naming the versions.
    """
    architecture = catalog.get(name)
    word = wrapper_of(architecture, catalog.families[architecture.family], task)
    needed = WRAPPERS[word].transformers
    if needed and not SpecifierSet(needed).contains(transformers.__version__, prereleases=True):
        raise RequirementError(
            f"{name} keeps a cache for {task} ({word}), which needs transformers{needed}, but "
            f"{transformers.__version__} is installed.",
            f'Install it: pip install "transformers{needed}"',
        )


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def task_of(catalog: Catalog, name: str, config: PretrainedConfig) -> str:
    """Return the task a checkpoint was trained for: its library's own, or what its config's classes say.

    Raises:
        RequestError: if they name no task of this architecture, or several; the choices are listed.
    """
    trained = set(config.architectures or ())
    supported = catalog.supported_tasks(name)
    library = catalog.get(name).library
    if library != "transformers":
        found = [task for task in supported if catalog.tasks[task].library == library]
    else:
        classes = {task: _class_names(catalog.model_class(name, task), config) for task in supported}
        found = [task for task in supported if trained & classes[task]]
    if len(found) == 1:
        return found[0]
    named = ", ".join(sorted(trained)) or "nothing"
    choices = ", ".join(found or supported)
    raise RequestError(
        f"The task cannot be told from the model's config: its architectures name {named}.",
        f"Add --task with one of: {choices}.",
    )


def _class_names(model_class: str, config: PretrainedConfig) -> set[str]:
    """Return the names of the model classes that an auto class builds from this kind of config.

    A class that is none builds itself.
    """
    mapping = getattr(getattr(transformers, model_class), "_model_mapping", None)
    if mapping is None:
        return {model_class}
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
    library = saved_with(model)
    source = LIBRARIES[library].checkpoint(model=model)
    name = require_supported(catalog, source.raw_config()["model_type"], library)
    return task_of(catalog, name, source.config())
