"""Named code between a model's `forward` and a graph: one module for each wrapper of the format.

A wrapper module has three functions. `module(model, plan)` returns what is traced: positional tensors in the
plan's order, a flat tuple of tensors out. `oracle(model, plan)` returns how the *unwrapped* model gives the
same numbers, by keyword and by output name; validation trusts only the oracle. `returns` says in which
objects the model gives them, for the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

from neuron_catalog.manifest import Plan
from neuron_catalog.models.wrappers import forward, sentence

Oracle = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


class Wrapper(Protocol):
    """What each wrapper module offers."""

    PREFIX: str
    """What stands before the names of the model's weights in the module to trace."""

    def module(self, model: nn.Module, plan: Plan) -> nn.Module:
        """Return the module to trace."""

    def oracle(self, model: nn.Module, plan: Plan) -> Oracle:
        """Return the reference computation."""

    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Return the classes of transformers that the model's answer is made of, by the path to each."""


WRAPPERS: dict[str, Wrapper] = {"forward": forward, "sentence": sentence}
"""Word in the YAML → module."""
