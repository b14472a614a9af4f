"""What a model type consists of: its config, and a class with a forward for each task that it serves."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequestError, RequirementError, first_line, nearest
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.schema.documents import Task

HUB_LINK = re.compile(
    r"\]\(https://huggingface\.co/(?!(?:papers|docs|spaces|datasets|collections)/)([\w.-]+/[\w.-]+)\)"
)
"""How the documentation of a config class links to a checkpoint."""

PLACEHOLDER = re.compile(r"not_yet|todo|module-7b$", re.IGNORECASE)
"""A checkpoint named like this stands for one that does not exist."""

UNFIT = re.compile(r"For|WithProjection|LMHead|PreTrained")
"""Parts of the names of classes that give more than hidden states."""


@dataclass(frozen=True)
class Head:
    """The class that serves a task, and the names that its forward takes."""

    task: str
    model_class: Any
    parameters: tuple[str, ...]
    by_name: bool = False
    """Whether no auto class leads to it."""

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
        """The input that the model cannot do without: the one that its class names, if it takes it."""
        first = self.heads[0]
        named = str(first.model_class.main_input_name)
        return named if named in first.parameters else first.parameters[1]


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
    title = config_class.__name__.removesuffix("Config")
    return Anatomy(model_type, title, config, heads, checkpoint_of(config_class))


def checkpoint_of(config_class: type[PretrainedConfig]) -> str | None:
    """Return the hub id of the first checkpoint that the documentation of a config class links to."""
    links = HUB_LINK.findall(config_class.__doc__ or "")
    return next((link for link in links if not PLACEHOLDER.search(link)), None)


def heads_of(model_type: str, catalog: Catalog) -> list[Head]:
    """Return the classes that the installed transformers has for a model type and the catalog's tasks.

    Raises:
        RequirementError: if one of them needs a package that is not installed.
    """
    return _heads(CONFIG_MAPPING[model_type], catalog.tasks)


def _heads(config_class: type[PretrainedConfig], tasks: Mapping[str, Task]) -> list[Head]:
    """The classes that auto classes lead to; if there is none, those that say by name what they serve."""
    own = {name: task for name, task in tasks.items() if task.library == "transformers"}
    found = [_by_mapping(config_class, name, task) for name, task in own.items()]
    if not any(found):
        public = _public_classes(config_class)
        found = [_by_name(public, name, task) for name, task in own.items()]
    return [head for head in found if head]


def _by_mapping(config_class: type[PretrainedConfig], name: str, task: Task) -> Head | None:
    auto_class = getattr(transformers, task.auto_class, None)  # older versions lack some
    if auto_class is None or config_class not in auto_class._model_mapping:
        return None
    try:
        classes = auto_class._model_mapping[config_class]
        model_class = classes[0] if isinstance(classes, (list, tuple)) else classes
        return Head(name, model_class, tuple(inspect.signature(model_class.forward).parameters))
    except (ImportError, ValueError) as error:  # another package is needed, or the class does not exist
        raise RequirementError(
            f"The class of {name} cannot be loaded: {' '.join(str(error).split())}",
            "Install the package, or another version of transformers.",
        ) from error


def _public_classes(config_class: type[PretrainedConfig]) -> list[Any]:
    """The model classes that transformers offers to everyone for a config class."""
    try:
        module = importlib.import_module(config_class.__module__.replace(".configuration_", ".modeling_"))
    except ImportError:  # there is none, or it needs another package
        return []
    return [
        each
        for name, each in vars(module).items()
        if isinstance(each, type)
        and issubclass(each, PreTrainedModel)
        and getattr(each, "config_class", None) is config_class
        and "forward" in vars(each)
        and hasattr(transformers, name)
    ]


def _by_name(classes: list[Any], task: str, entry: Task) -> Head | None:
    """The class whose name ends as the auto class's does; for hidden states the plainest one."""
    suffix = entry.auto_class.removeprefix("AutoModel")
    fitting = [each for each in classes if suffix and each.__name__.endswith(suffix)]
    if not suffix:
        plain = [each for each in classes if not UNFIT.search(each.__name__)]
        fitting = [each for each in plain if each.__name__.endswith("Model")] or plain
    if not fitting:
        return None
    return Head(task, fitting[0], tuple(inspect.signature(fitting[0].forward).parameters), by_name=True)
