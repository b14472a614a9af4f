"""An architecture file in the making."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neuron_catalog.authoring.canonical import architecture_text


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is known so far; each revision is a new one."""

    architecture: str
    family: str
    summary: str
    checkpoint: str | None
    normalized_config: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...] = ()
    mandatory_axes: tuple[str, ...]
    limits: tuple[Mapping[str, str], ...] = ()
    tasks: Mapping[str, tuple[str, ...]]
    model_classes: Mapping[str, str] = field(default_factory=dict)
    wrappers: Mapping[str, str] = field(default_factory=dict)
    forward_arguments: Mapping[str, Any] = field(default_factory=dict)
    attn_implementation: str | None = None
    cures: tuple[str, ...] = ()
    tiny: Mapping[str, Any]
    deviations: tuple[Mapping[str, Any], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return what the file will say; empty entries are left out."""
        return {key: value for key, value in vars(self).items() if value not in ((), {}, None)}

    def text(self) -> str:
        """Return the text of the file."""
        return architecture_text(self.document())

    def without_task(self, task: str) -> Draft:
        """Return a draft that does not serve a task."""
        return self.with_tasks({name: outputs for name, outputs in self.tasks.items() if name != task})

    def with_tasks(self, tasks: Mapping[str, tuple[str, ...]]) -> Draft:
        """Return a draft that serves other tasks; what is said of those that are gone goes too."""
        deviations = tuple(each for each in self.deviations if set(each["tasks"]) <= set(tasks))
        classes = {task: name for task, name in self.model_classes.items() if task in tasks}
        wrappers = {task: name for task, name in self.wrappers.items() if task in tasks}
        return replace(self, tasks=tasks, deviations=deviations, model_classes=classes, wrappers=wrappers)

    def with_wrapper(self, task: str, wrapper: str) -> Draft:
        """Return a draft that names another wrapper than the family's for a task."""
        return replace(self, wrappers={**self.wrappers, task: wrapper})

    def with_inputs(self, inputs: tuple[str, ...]) -> Draft:
        """Return a draft that takes other inputs."""
        return replace(self, inputs=inputs)
