"""From a resolved request to a saved graph, and back to one that can be examined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends.protocol import Backend, Compilation, CompiledGraph, Settings
from neuron_catalog.exporting.comparisons import Tolerance
from neuron_catalog.exporting.publish import require_space
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.manifest import Plan, SourceRecord
from neuron_catalog.models.cures import cured
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.sources import EagerModel, Source
from neuron_catalog.models.weights import outputs_depending_on, weight_facts
from neuron_catalog.models.wrappers import WRAPPERS, Wrapped
from neuron_catalog.parts import Part

OnStep = Callable[[str], None]
"""Told what begins now, for progress on a terminal."""


LARGEST = "forward"
"""Name of the largest graph; those for smaller inputs are numbered."""


@dataclass(frozen=True)
class Built:
    """A model in memory, whose graphs were saved and are not read back yet."""

    model: nn.Module
    plans: dict[str, Plan]
    """Name of a graph → what it was made for; the largest one last."""
    wrapped: Wrapped
    source: SourceRecord
    observed: dict[str, JsonValue]
    """Name of a traced function → what the backend saw of it."""

    @property
    def plan(self) -> Plan:
        """The plan of the largest graph."""
        return self.plans[LARGEST]


@dataclass(frozen=True)
class Draft:
    """What an artifact is made of beside its files. It holds no model, unless its subjects do."""

    plans: dict[str, Plan]
    """As those of what was built."""
    parts: tuple[Part, ...]
    """The traced functions, if a graph takes several."""
    functions: tuple[str, ...]
    """The names of all traced functions."""
    subjects: dict[str, Subject]
    """Name of a graph → what is examined; none without validation."""
    source: SourceRecord
    observed: dict[str, JsonValue]
    """As that of what was built."""
    returns: dict[str, str]
    """The classes of the model's answer; see `Wrapper.returns`."""

    @property
    def subject(self) -> Subject:
        """The largest graph."""
        return self.subjects[LARGEST]

    @property
    def plan(self) -> Plan:
        """The plan of the largest graph."""
        return self.plans[LARGEST]


@dataclass(frozen=True)
class Prepared:
    """An eager model in memory, wrapped for the compiler."""

    model: nn.Module
    plans: dict[str, Plan]
    wrapped: Wrapped
    source: SourceRecord

    def compilation(self, settings: Settings) -> Compilation:
        """Return what the backend is given."""
        states = {part.name: len(part.states) for part in self.wrapped.parts if part.states}
        return Compilation(self.wrapped.module, self.wrapped.examples, states, settings)


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


def build(resolved: Resolved, folder: Path, on_step: OnStep) -> Built:
    """Load the weights, compile and write the graphs into `folder`.

    Raises:
        RequestError: if the weights cannot be loaded, do not serve the task, or the disk is full.
        CompileError: if the backend refuses the model.
    """
    prepared = prepare(resolved, on_step)
    on_step(f"Compiling with {resolved.backend_name} on the {resolved.backend.DEVICE}")
    path = folder / resolved.backend.FILE_NAME
    with cured(prepared.model, resolved.plan.cures):
        program = resolved.backend.compile(prepared.compilation(resolved.settings))
        require_space(path, prepared.source.weights_bytes)
        resolved.backend.save(program, path)
    return Built(prepared.model, prepared.plans, prepared.wrapped, prepared.source, dict(program.observed))


def live_subjects(built: Built, resolved: Resolved) -> dict[str, Subject]:
    """Return what is examined, with the eager model at hand, and its own functions in place of the graphs."""
    functions = built.wrapped.functions
    return subjects_of(built.plans, built.model, built.wrapped, resolved.backend, functions, resolved.seed)


def read_beside(built: Built, resolved: Resolved, folder: Path) -> Draft:
    """Read the graphs in `folder` and keep the eager model beside them, for who goes on using it.

    Raises:
        RequestError: if they cannot be read.
    """
    draft = draft_of(built, live_subjects(built, resolved), resolved.seed)
    return read_back(draft, resolved, folder)


def draft_of(built: Built, subjects: dict[str, Subject], seed: int) -> Draft:
    """Take down what an artifact needs to know of a model."""
    plan, wrapped = built.plan, built.wrapped
    returns = WRAPPERS[plan.wrapper].returns(built.model, plan, make_inputs(plan, seed))
    return Draft(
        built.plans, wrapped.parts, tuple(wrapped.examples), subjects, built.source, built.observed, returns
    )


def read_back(draft: Draft, resolved: Resolved, folder: Path) -> Draft:
    """Read the graphs in `folder`, and make them what is examined.

    Raises:
        RequestError: if they cannot be read.
    """
    graphs = resolved.backend.load(folder / resolved.backend.FILE_NAME, draft.functions).graphs
    wrapper = WRAPPERS[draft.plan.wrapper]
    subjects = {
        name: replace(subject, graph=wrapper.assembled(name, draft.plans[name], graphs, draft.parts))
        for name, subject in draft.subjects.items()
    }
    return replace(draft, subjects=subjects)


def make_subjects(
    plans: Mapping[str, Plan],
    model: nn.Module,
    backend: Backend,
    graphs: Mapping[str, CompiledGraph],
    seed: int,
) -> dict[str, Subject]:
    """Put each compiled graph beside the eager model that it should equal; the model is not copied."""
    wrapped = WRAPPERS[next(iter(plans.values())).wrapper].wrapped(model, plans, seed)
    return subjects_of(plans, model, wrapped, backend, graphs, seed)


def subjects_of(
    plans: Mapping[str, Plan],
    model: nn.Module,
    wrapped: Wrapped,
    backend: Backend,
    graphs: Mapping[str, CompiledGraph],
    seed: int,
) -> dict[str, Subject]:
    """Do what `make_subjects` does, for a model that is wrapped already."""
    wrapper = WRAPPERS[next(iter(plans.values())).wrapper]
    return {
        name: Subject(
            plan=wrapper.trial(plan),
            graph=wrapper.assembled(name, plan, graphs, wrapped.parts),
            wrapped=wrapper.assembled(name, plan, wrapped.functions, wrapped.parts),
            oracle=wrapper.oracle(model, wrapper.trial(plan)),
            tolerance=Tolerance.of(plan, backend.ABSOLUTE_BOUND, wrapper.factor * backend.ROUNDING_FACTOR),
            seed=seed,
        )
        for name, plan in plans.items()
    }


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
