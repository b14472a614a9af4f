"""Give outputs back in the objects in which transformers gives them: `MaskedLMOutput(logits=...)`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.utils import ModelOutput

TRUSTED = "transformers."
"""A manifest is data: it may name classes of this package, and no others are imported for it."""


@dataclass(frozen=True)
class Answers:
    """The classes of a model's answer, by the path to each; the whole answer is at the empty path."""

    classes: Mapping[str, type[ModelOutput]]

    @classmethod
    def of(cls, returns: Mapping[str, str]) -> Answers:
        """Look up the classes that a manifest names; those that transformers lacks are left generic."""
        found = {path: _class(name) for path, name in returns.items()}
        return cls({path: each for path, each in found.items() if each is not None})

    def __call__(self, outputs: Mapping[str, Tensor]) -> ModelOutput:
        """Put outputs by dotted names, such as `hidden_states.3`, where the model has them."""
        tree: dict[str, Any] = {}
        for name, value in outputs.items():
            *steps, last = name.split(".")
            place = tree
            for step in steps:
                place = place.setdefault(step, {})
            place[last] = value
        return self._made(tree, "")

    def _made(self, tree: Mapping[str, Any], path: str) -> Any:
        within = f"{path}." if path else ""
        values = {
            step: self._made(each, within + step) if isinstance(each, dict) else each
            for step, each in tree.items()
        }
        if all(step.isdigit() for step in values):
            return tuple(values[step] for step in sorted(values, key=int))
        if kind := self.classes.get(path):
            return kind(**values)
        answer = ModelOutput()
        for name, value in values.items():
            answer[name] = value
        return answer


def _class(name: str) -> type[ModelOutput] | None:
    module, _, last = name.rpartition(".")
    if not module.startswith(TRUSTED):
        return None
    try:
        found = getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError):
        return None
    return found if isinstance(found, type) and issubclass(found, ModelOutput) else None
