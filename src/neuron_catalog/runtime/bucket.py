"""One compiled graph at run time: what sizes it takes, and how smaller inputs go through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from neuron_catalog.exporting.backends.protocol import CompiledGraph, DynamicBatch
from neuron_catalog.manifest import Filling, Graph, InputTensor, Plan
from neuron_catalog.models.fitting import cut_back, filled_up

Sizes = dict[str, int]


@dataclass(frozen=True)
class Misfit:
    """A dimension that a graph does not take."""

    tensor: InputTensor
    axis: str
    given: int
    planned: int
    why: str
    """What was seen when smaller inputs were tried at export; empty if this one is too large."""


@dataclass(frozen=True)
class Bucket:
    """A graph that takes inputs of its own sizes, and smaller ones along axes that were tried at export."""

    plan: Plan
    run: CompiledGraph
    fillings: Mapping[str, Filling]
    refusals: Mapping[str, str]
    """Axis → why nothing is filled up along it."""

    @classmethod
    def of(
        cls,
        graph: Graph,
        run: CompiledGraph,
        each: Callable[..., Iterable[tuple[Tensor, ...]]],
        copies: int = 1,
    ) -> Bucket:
        """Put what the manifest says of a graph beside the graph, of which so many copies split the rows."""
        plan = graph.plan
        fillings = {fit.axis: fit.filled for fit in graph.fits if fit.filled}
        refusals = {fit.axis: fit.detail for fit in graph.fits if not fit.filled}
        for axis in plan.dynamic_axes:
            fillings.pop(axis, None)
            run = DynamicBatch(run, plan.axes[axis] * copies, each)
        return cls(plan, run, fillings, refusals)

    @cached_property
    def volume(self) -> int:
        """The product of its sizes: what one run costs, as far as sizes tell."""
        return math.prod(self.plan.axes.values())

    def cost(self, sizes: Sizes) -> int:
        """What inputs of these sizes cost: whole runs, as many as their rows need."""
        runs = [-(-sizes[axis] // self.plan.axes[axis]) for axis in self.plan.dynamic_axes]
        return math.prod(runs, start=self.volume)

    def misfit(self, tensor: InputTensor, value: Tensor) -> Misfit | None:
        """Return the first dimension of a value of the right rank that the graph does not take."""
        for axis, planned, given in zip(tensor.axes, tensor.shape, value.shape, strict=True):
            if given == planned or (axis in self.plan.dynamic_axes and given):
                continue
            if not (0 < given < planned and axis in self.fillings):
                why = self.refusals.get(axis, "it was not tried") if given < planned else ""
                return Misfit(tensor, axis, given, planned, why)
        return None

    def takes(self, inputs: Mapping[str, Tensor]) -> bool:
        """Tell whether inputs go through, filled up if need be."""
        given = (tensor for tensor in self.plan.inputs if tensor.name in inputs)
        return all(self.misfit(tensor, inputs[tensor.name]) is None for tensor in given)

    def __call__(self, inputs: Mapping[str, Tensor], sizes: Sizes) -> dict[str, Tensor]:
        """Run inputs of these sizes and return the outputs in the caller's sizes."""
        plan, fillings = self.plan, self.fillings
        full = [filled_up(tensor, inputs[tensor.name], fillings) for tensor in plan.inputs]
        outputs = self.run(*full)
        return {
            tensor.name: cut_back(tensor, value, sizes, plan, fillings)
            for tensor, value in zip(plan.outputs, outputs, strict=True)
        }
