"""What a model type consists of: its config, and a class with a forward for each task that it serves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PretrainedConfig

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequestError, RequirementError, first_line, nearest
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.schema.documents import Task

HUB_LINK = re.compile(r"\]\(https://huggingface\.co/([\w.-]+/[\w.-]+)\)")
"""How the documentation of a config class links to a checkpoint."""


@dataclass(frozen=True)
class Head:
    """The class that serves a task, and the names that its forward takes."""

    task: str
    model_class: Any
    parameters: tuple[str, ...]

    @property
    def source(self) -> str:
        """The text of its forward."""
        return inspect.getsource(inspect.unwrap(self.model_class.forward))


@dataclass(frozen=True)
class Anatomy:
    """A model type of the installed transformers."""

    model_type: str
    title: str
    """The model's name as transformers' classes have it."""
    config: PretrainedConfig
    """With the defaults of its class."""
    heads: tuple[Head, ...]
    checkpoint: str | None
    """The checkpoint that the config's own documentation names."""

    @property
    def main_input(self) -> str:
        """The input without which the model cannot be called."""
        return str(self.heads[0].model_class.main_input_name)


def dissect(model_type: str, catalog: Catalog) -> Anatomy:
    """Look a model type up in the installed transformers.

    Raises:
        RequestError: if it is unknown there, or serves no task of the catalog, or its config has no defaults.
    """
    if model_type not in CONFIG_MAPPING:
        raise RequestError(
            f"transformers {transformers.__version__} does not know the model type {model_type!r}; "
            f"{nearest(model_type, CONFIG_MAPPING)}",
            "Check the spelling, or upgrade transformers.",
        )
    config_class = CONFIG_MAPPING[model_type]
    try:
        with quiet_transformers():
            config = config_class()
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        raise RequestError(
            f"The config of {model_type} cannot be made from its defaults: {first_line(error)}",
            "Such a file can only be written by hand.",
        ) from error
    heads = tuple(_heads(type(config), catalog.tasks))
    if not heads:
        raise RequestError(
            f"{model_type} has no class for any task of the catalog.",
            "It may be a part of another model; `neuron-catalog list-tasks` shows all tasks.",
        )
    link = HUB_LINK.search(config_class.__doc__ or "")
    title = config_class.__name__.removesuffix("Config")
    return Anatomy(model_type, title, config, heads, link[1] if link else None)


def heads_of(model_type: str, catalog: Catalog) -> list[Head]:
    """Return the classes that the installed transformers has for a model type and the catalog's tasks.

    Raises:
        RequirementError: if one of them needs a package that is not installed.
    """
    return _heads(CONFIG_MAPPING[model_type], catalog.tasks)


def _heads(config_class: type[PretrainedConfig], tasks: Mapping[str, Task]) -> list[Head]:
    found = []
    for name, task in tasks.items():
        auto_class = getattr(transformers, task.auto_class, None)  # older versions lack some
        mapping = auto_class._model_mapping if auto_class else {}
        if task.library != "transformers" or config_class not in mapping:
            continue
        try:
            classes = mapping[config_class]
            model_class = classes[0] if isinstance(classes, (list, tuple)) else classes
            parameters = inspect.signature(model_class.forward).parameters
        except (ImportError, ValueError) as error:  # another package is needed, or the class does not exist
            raise RequirementError(
                f"The class of {name} cannot be loaded: {' '.join(str(error).split())}",
                "Install the package, or another version of transformers.",
            ) from error
        found.append(Head(name, model_class, tuple(parameters)))
    return found
