"""The plain wrapper: one call of `forward`, the declared outputs picked by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import ModelOutput

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Plan
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.wrappers.base import Oracle, Wrapper


class ForwardGraph(nn.Module):
    """Takes the plan's inputs by position and returns its outputs as a flat tuple."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(tensor.name for tensor in plan.inputs)
        self._outputs = tuple(tensor.name for tensor in plan.outputs)
        self._arguments = fixed_arguments(plan)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self._inputs, tensors, strict=True))
        given = self.model(**nested(named), **self._arguments, return_dict=True)
        return tuple(pick(given, name) for name in self._outputs)


class ForwardWrapper(Wrapper):
    """One call of `forward`."""

    prefix = "model."

    def module(self, model: nn.Module, plan: Plan) -> nn.Module:
        return ForwardGraph(model, plan)

    def oracle(self, model: nn.Module, plan: Plan) -> Oracle:
        """Return the model's own call, as a user of transformers writes it."""

        def reference(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            given = model(**nested(inputs), **fixed_arguments(plan, inputs))
            return {tensor.name: pick(given, tensor.name) for tensor in plan.outputs}

        return reference

    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        with torch.no_grad():
            given = model(**nested(inputs), **fixed_arguments(plan, inputs))
        paths = {"", *(tensor.name.rpartition(".")[0] for tensor in plan.outputs)}
        objects = {path: _at(given, path) for path in sorted(paths)}
        return {path: class_path(each) for path, each in objects.items() if isinstance(each, ModelOutput)}


def nested(named: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return arguments of `forward`: dotted names are paths in them, through mappings by name and through
    tuples by number."""
    arguments: dict[str, Any] = {}
    for path, value in named.items():
        name, _, rest = path.partition(".")
        if rest:
            arguments.setdefault(name, {})[rest] = value
        else:
            arguments[name] = value
    return {
        name: tuple(value.values()) if isinstance(value, dict) and "0" in value else value
        for name, value in arguments.items()
    }


def _at(given: Any, path: str) -> Any:
    for step in filter(None, path.split(".")):
        given = given[int(step)] if step.isdigit() else given[step]
    return given


def class_path(value: object) -> str:
    """Return the full name of an object's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def pick(given: Any, name: str) -> Tensor:
    """Return the tensor at a dotted output name, such as `logits` or `hidden_states.3`.

    Raises:
        RequestError: if the model gives no such output.
    """
    value = given
    for step in name.split("."):
        try:
            value = value[int(step)] if step.isdigit() else value[step]
        except (KeyError, IndexError, TypeError):
            names = ", ".join(given.keys()) if hasattr(given, "keys") else type(given).__name__
            raise RequestError(
                f"The model gives no output {name!r}; it gives: {names}.",
                "Correct the outputs in the architecture's YAML.",
            ) from None
    if not isinstance(value, Tensor):
        raise RequestError(
            f"The output {name!r} is no tensor but {type(value).__name__}.",
            "Correct the outputs in the architecture's YAML.",
        )
    return value
