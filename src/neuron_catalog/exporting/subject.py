"""What is examined: a compiled graph beside the eager model that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from neuron_catalog.errors import RequestError, VerificationError, first_line
from neuron_catalog.exporting.backends.protocol import CompiledGraph
from neuron_catalog.exporting.comparisons import Tolerance
from neuron_catalog.manifest import Plan
from neuron_catalog.models.fills import Inputs, Pattern, make_inputs
from neuron_catalog.models.wrappers import Oracle

PATTERNS: tuple[Pattern, ...] = ("full", "one_token", "right_padded", "mixed_lengths")
Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Run:
    """One set of inputs with what the compiled graph and the eager model made of it."""

    seed: int
    inputs: Inputs
    compiled: Outputs
    eager: Outputs


@dataclass(frozen=True)
class Subject:
    """A compiled graph under examination, with everything it is compared to."""

    plan: Plan
    """Of a trial: where a task takes several functions, inputs and outputs of a use of them all."""
    graph: CompiledGraph
    wrapped: CompiledGraph
    """The eager functions that were compiled."""
    oracle: Oracle
    tolerance: Tolerance
    seed: int
    """The seed that was traced; fresh inputs take the following ones."""

    def compiled(self, inputs: Inputs, graph: CompiledGraph | None = None) -> Outputs:
        """Run the graph by position, as a runtime does.

        Raises:
            VerificationError: if it fails, or does not return a flat tuple of as many tensors as planned.
        """
        names = [tensor.name for tensor in self.plan.outputs]
        try:
            given = (graph or self.graph)(*inputs.values())
        except (RuntimeError, ValueError, IndexError) as error:
            raise VerificationError(f"the compiled graph failed to run: {_last_line(error)}") from error
        if not isinstance(given, tuple) or not all(isinstance(value, Tensor) for value in given):
            raise VerificationError(f"the graph returns {type(given).__name__}, not a flat tuple of tensors")
        if len(given) != len(names):
            raise VerificationError(
                f"the graph returns {len(given)} outputs, the plan has {len(names)}: {', '.join(names)}"
            )
        return dict(zip(names, given, strict=True))

    def eager(self, inputs: Inputs) -> Outputs:
        """Run the unwrapped model.

        Raises:
            RequestError: if the model itself refuses the inputs.
        """
        try:
            with torch.no_grad():
                return self.oracle(inputs)
        except (RuntimeError, ValueError, LookupError, TypeError, AssertionError) as error:
            raise RequestError(
                f"The eager {self.plan.architecture} model refuses the example inputs: {first_line(error)}",
                "Check the config and the inputs in the architecture's YAML.",
            ) from error

    @property
    def traced_inputs(self) -> Inputs:
        """The inputs of the seed that was traced."""
        return make_inputs(self.plan, self.seed)

    @cached_property
    def fresh_inputs(self) -> dict[int, Inputs]:
        """Seed → inputs, of all runs."""
        seeds = enumerate(PATTERNS, start=self.seed + 1)
        return {seed: make_inputs(self.plan, seed, pattern) for seed, pattern in seeds}

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """One run for each mask pattern, each with a seed of its own."""
        return tuple(
            Run(seed, inputs, self.compiled(inputs), self.eager(inputs))
            for seed, inputs in self.fresh_inputs.items()
        )

    def require_deterministic(self) -> Outputs:
        """Make sure that the eager model gives the same twice, and return it.

        Otherwise nothing can be compared with it.

        Raises:
            RequestError: naming the output that changes.
        """
        inputs = self.traced_inputs
        first, second = self.eager(inputs), self.eager(inputs)
        for name, value in first.items():
            if not torch.equal(value, second[name]):
                raise RequestError(
                    f"The eager {self.plan.architecture} model is not deterministic in eval mode: "
                    f"{name} changes from one call to the next with the same inputs.",
                    "It draws random numbers; such a model cannot be verified, so it is not exported.",
                )
        return first

    @property
    def mixed(self) -> Run:
        """The run whose rows have different lengths."""
        return self.runs[-1]

    @property
    def mixed_inputs(self) -> Inputs:
        """The inputs of that run."""
        return self.fresh_inputs[self.seed + len(PATTERNS)]

    def other_inputs(self) -> Inputs:
        """Return inputs of another seed than all runs'."""
        return make_inputs(self.plan, self.seed + 1 + len(PATTERNS))


def _last_line(error: BaseException) -> str:
    """TorchScript puts its traceback before the message."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
