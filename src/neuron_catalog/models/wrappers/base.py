"""What each wrapper offers: the functions to trace, and how the unwrapped model gives the same numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from neuron_catalog.manifest import Plan
from neuron_catalog.models.continuation import Continuation, Function
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.parts import Part

Oracle = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""Tensors by name in, outputs by name out."""


@dataclass(frozen=True)
class Wrapped:
    """Eager functions of a model, ready to be traced, by the name that each has in the artifact's file."""

    module: nn.Module
    """What holds the weights. A function is its attribute by that name; if it has none, its call."""
    examples: Mapping[str, tuple[Tensor, ...]]
    """Tensors of the shapes that each function is traced for."""
    parts: tuple[Part, ...] = ()
    """The signatures, if they are others than those of the plans."""

    @property
    def functions(self) -> dict[str, Function]:
        """The functions, not traced."""
        return {name: getattr(self.module, name, self.module) for name in self.examples}


class Wrapper(ABC):
    """Code between a model's `forward` and its graphs; the word in the YAML that names it is in `WRAPPERS`.

    Most tasks are one traced function for each plan; those that take several override more than `module`.
    """

    prefix: str
    """What stands before the names of the model's weights in the module to trace."""
    transformers: str = ""
    """The versions of transformers that it needs, if not all that the package admits."""
    factor: float = 1.0
    """How much further than usual a trial may differ from the oracle, which may compute in another order."""

    def wrapped(self, model: nn.Module, plans: Mapping[str, Plan], seed: int) -> Wrapped:
        """Return what is to be traced for plans that differ in their sizes only, by name."""
        module = self.module(model, list(plans.values())[-1])
        examples = {name: tuple(make_inputs(plan, seed).values()) for name, plan in plans.items()}
        return Wrapped(module, examples)

    @abstractmethod
    def module(self, model: nn.Module, plan: Plan) -> nn.Module:
        """Return the module that holds the weights; called, it is the function of a plan."""

    def trial(self, plan: Plan) -> Plan:
        """Return the plan that is validated: inputs of a whole use of the model, and what comes out."""
        return plan

    def assembled(
        self, name: str, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Function:
        """Put functions, traced or not, together into one that takes the inputs of the trial."""
        del plan, parts
        return functions[name]

    def called(
        self, name: str, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Function:
        """Put traced functions together into one that takes the plan's inputs, for a call of the model."""
        del plan, parts
        return functions[name]

    def begun(
        self, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Continuation | None:
        """Return a new text that the functions continue; None if they keep nothing between two tokens."""
        del plan, functions, parts
        return None

    @abstractmethod
    def oracle(self, model: nn.Module, plan: Plan) -> Oracle:
        """Return the trial's outputs as the unwrapped model computes them, which validation trusts."""

    @abstractmethod
    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Return the classes of transformers that the model's answer is made of, by the path to each."""
