"""Load a model, wrap it, and have a backend compile it into a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends.protocol import Compilation, Program, Settings
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.manifest import Manifest, Plan, SourceRecord
from neuron_catalog.models.cures import cured
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.sources import EagerModel, Source
from neuron_catalog.models.weights import outputs_depending_on, weight_facts
from neuron_catalog.models.wrappers import WRAPPERS, Wrapped
from neuron_catalog.storage.publish import require_space

OnStep = Callable[[str], None]
"""Told what begins now, for progress on a terminal."""


LARGEST = "forward"
"""Name of the largest graph; those for smaller inputs are numbered."""


def silent(step: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class Prepared:
    """An eager model in memory, wrapped for the compiler."""

    model: nn.Module
    plans: dict[str, Plan]
    """Name of a graph → what it is made for; the largest one last."""
    wrapped: Wrapped
    source: SourceRecord

    def compilation(
        self, settings: Settings, unfinished: Path | None = None, same_graphs: Path | None = None
    ) -> Compilation:
        """Return what the backend is given."""
        states = {part.name: part.state_places for part in self.wrapped.parts if part.states}
        module, examples = self.wrapped.module, self.wrapped.examples
        return Compilation(module, examples, states, settings, unfinished, same_graphs)


def prepare(resolved: Resolved, on_step: OnStep) -> Prepared:
    """Load the weights and wrap the model.

    Raises:
        RequestError: if the weights cannot be loaded, or do not serve the task.
    """
    on_step(f"Loading {resolved.source.name}")
    eager = resolved.source.load(resolved.plan)
    plans = without_untrained_outputs(resolved, eager)
    source = describe_source(resolved.source, eager, resolved.seed)
    wrapped = WRAPPERS[resolved.plan.wrapper].wrapped(eager.module, plans, resolved.seed)
    return Prepared(eager.module, plans, wrapped, source)


def compile_into(resolved: Resolved, path: Path, on_step: OnStep) -> tuple[Prepared, Program]:
    """Load the weights, compile and write the graphs to a path; return the model and what was compiled.

    Raises:
        RequestError: if the weights cannot be loaded, do not serve the task, or the disk is full.
        CompileError: if the backend refuses the model.
    """
    prepared = prepare(resolved, on_step)
    on_step(f"Compiling with {resolved.backend_name} on the {resolved.backend.DEVICE}")
    with cured(prepared.model, resolved.plan.cures):
        same = resolved.same_graphs if _are_the_same(resolved.same_graphs, prepared.plans) else None
        program = resolved.backend.compile(prepared.compilation(resolved.settings, resolved.unfinished, same))
        require_space(path, prepared.source.weights_bytes)
        resolved.backend.save(program, path)
    return prepared, program


def _are_the_same(folder: Path | None, plans: Mapping[str, Plan]) -> bool:
    """Tell whether compiled graphs serve other weights: the plans are the same, and no value was fixed."""
    if folder is None:
        return False
    try:
        manifest = Manifest.read(folder)
    except RequestError:  # another process has emptied the cache
        return False
    fixed = any(isinstance(seen, Mapping) and "fixed" in seen for seen in manifest.backend.observed.values())
    return not fixed and {graph.name: graph.plan for graph in manifest.graphs} == plans


def describe_source(source: Source, eager: EagerModel, seed: int) -> SourceRecord:
    """Record where the weights came from, with their digest."""
    facts = weight_facts(eager.module)
    return SourceRecord(
        kind=source.kind,
        model=source.name,
        revision=eager.revision,
        seed=seed if source.kind == "tiny" or eager.missing_weights else None,
        weights_sha256=facts.sha256,
        weights_bytes=facts.bytes,
        tied_weights=facts.tied,
        missing_weights=eager.missing_weights,
    )


def without_untrained_outputs(resolved: Resolved, eager: EagerModel) -> dict[str, Plan]:
    """Name the plans, and leave out outputs that depend on weights which the checkpoint does not have.

    Raises:
        RequestError: if no output would be left: the checkpoint was not trained for this task.
    """
    plans = dict(zip(graph_names(len(resolved.plans)), resolved.plans, strict=True))
    untrained = untrained_outputs(resolved.plan, eager, resolved.seed)
    if not untrained:
        return plans
    if len(untrained) == len(resolved.plan.outputs):
        raise not_trained(resolved.source, resolved.plan, eager)
    return {
        name: plan.model_copy(update={"outputs": tuple(t for t in plan.outputs if t.name not in untrained)})
        for name, plan in plans.items()
    }


def untrained_outputs(plan: Plan, eager: EagerModel, seed: int) -> set[str]:
    """Return the outputs of a plan that depend on weights which the checkpoint does not have."""
    if not eager.missing_weights:
        return set()
    trial = WRAPPERS[plan.wrapper].trial(plan)
    oracle = WRAPPERS[plan.wrapper].oracle(eager.module, trial)
    return outputs_depending_on(eager.module, eager.missing_weights, oracle, make_inputs(trial, seed))


def not_trained(source: Source, plan: Plan, eager: EagerModel) -> RequestError:
    """Say that a checkpoint lacks what a task needs."""
    missing = ", ".join(eager.missing_weights[:3])
    more = len(eager.missing_weights) - 3
    return RequestError(
        f"{source.name} was not trained for {plan.task}: it lacks the weights {missing}"
        + (f" and {more} more." if more > 0 else "."),
        "Choose the task it was trained for, or train this one first.",
    )


def graph_names(count: int) -> list[str]:
    """Return the names of graphs from the smallest to the largest."""
    return [*(f"bucket_{number}" for number in range(count - 1)), LARGEST]
