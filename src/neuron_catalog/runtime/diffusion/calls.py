"""A compiled part that is called as the module of diffusers or transformers that it stands for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import InputTensor
from neuron_catalog.runtime.answers import Answers
from neuron_catalog.runtime.base import CompiledModel

UNDERSTOOD = ("self", "return_dict", "output_hidden_states")
"""Arguments that say in which form the answer is wanted."""


@dataclass(frozen=True)
class PartCall:
    """Takes the arguments of a module's method, runs the graph, and answers as the method does."""

    name: str
    """Which part it is, for messages."""
    compiled: CompiledModel
    signature: inspect.Signature
    answers: Answers

    @classmethod
    def of(cls, name: str, compiled: CompiledModel, method: Callable[..., Any]) -> PartCall:
        """Let a graph stand for a method of a class."""
        return cls(name, compiled, inspect.signature(method), Answers.of(compiled.manifest.returns))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph on the arguments of the method.

        Raises:
            RequestError: if an argument was not exported, or has another shape.
        """
        given = dict(self.signature.bind(None, *args, **kwargs).arguments)
        given |= given.pop("kwargs", {})
        outputs = self.run(given)
        answer = self.answers(outputs)
        return answer if given.get("return_dict", True) else answer.to_tuple()

    def run(self, given: Mapping[str, Any]) -> dict[str, Tensor]:
        """Run the graph on named arguments; return its outputs by name."""
        inputs = self.compiled.manifest.plan.inputs
        found = {tensor.name: at(given, tensor.name) for tensor in inputs}
        self._require_exported(given, {tensor.name.partition(".")[0] for tensor in inputs})
        rows = found[inputs[0].name].shape[0]
        return self.compiled.run({each.name: fitted(each, found[each.name], rows) for each in inputs})

    def _require_exported(self, given: Mapping[str, Any], taken: set[str]) -> None:
        """Refuse an argument that says something to the module, but would not reach the graph."""
        if (
            given.get("output_hidden_states")
            and "output_hidden_states" not in self.compiled.manifest.plan.options
        ):
            raise RequestError(
                f"{self.name} was exported without output_hidden_states.", "Leave clip_skip out."
            )
        for name, value in given.items():
            if name in taken or name in UNDERSTOOD or is_silent(value):
                continue
            if isinstance(value, Tensor) and name.endswith("_mask") and bool((value == 1).all()):
                continue
            parameter = self.signature.parameters.get(name)
            if isinstance(value, Tensor) or parameter is None or value != parameter.default:
                raise RequestError(
                    f"{name} of {self.name} cannot be given: the graph was compiled without it.",
                    "Leave out what asks for it.",
                )


def is_silent(value: Any) -> bool:
    """Whether an argument says nothing: None, or an empty collection, or one of such."""
    if isinstance(value, Mapping):
        return all(is_silent(each) for each in value.values())
    return value is None or (isinstance(value, (list, tuple)) and all(map(is_silent, value)))


def at(given: Mapping[str, Any], path: str) -> Any:
    """Return what arguments hold at a dotted path; None if there is nothing."""
    value: Any = given
    for step in path.split("."):
        if value is None:
            return None
        if isinstance(value, Mapping):
            value = value.get(step)
        else:
            value = value[int(step)] if int(step) < len(value) else None
    return value


def fitted(tensor: InputTensor, value: Any, rows: int) -> Tensor | None:
    """Return an argument as the graph takes it: numbers become tensors, and one for all rows one for each."""
    dtype = getattr(torch, tensor.dtype)
    if value is None:
        shape = (rows, *tensor.shape[1:])
        return None if tensor.default is None else torch.full(shape, tensor.default, dtype=dtype)
    given: Tensor = torch.as_tensor(value).to(dtype)
    one_for_all = given.numel() == 1 and given.dim() <= 1
    if one_for_all:
        return given.reshape((1,) * len(tensor.shape)).expand(rows, *tensor.shape[1:])
    return given
