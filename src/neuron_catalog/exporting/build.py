"""From a resolved request to a saved graph, and back to one that can be examined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue
from torch import nn

from neuron_catalog.errors import CompileError
from neuron_catalog.exporting.apart import compiled_apart
from neuron_catalog.exporting.backends.protocol import Backend, CompiledGraph
from neuron_catalog.exporting.comparisons import Tolerance
from neuron_catalog.exporting.compiling import LARGEST, OnStep, Prepared, compile_into, prepare
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.manifest import Plan, SourceRecord
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.wrappers import WRAPPERS, Wrapped
from neuron_catalog.parts import Part


@dataclass(frozen=True)
class Built(Prepared):
    """A model in memory, whose graphs were saved and are not read back yet."""

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


def build(resolved: Resolved, folder: Path, on_step: OnStep) -> Built:
    """Load the weights, compile and write the graphs into `folder`.

    Raises:
        RequestError: if the weights cannot be loaded, do not serve the task, or the disk is full.
        CompileError: if the backend refuses the model; what is known to be broken is told first.
    """
    path = folder / resolved.backend.FILE_NAME
    try:
        if resolved.backend.APART:
            on_step(f"Compiling with {resolved.backend_name}, in a process of its own")
            observed = compiled_apart(resolved, path)
            prepared = prepare(resolved, on_step)
        else:
            prepared, program = compile_into(resolved, path, on_step)
            observed = dict(program.observed)
    except CompileError as error:
        raise _with_known_issues(error, resolved) from error
    return Built(**vars(prepared), observed=observed)


def _with_known_issues(error: CompileError, resolved: Resolved) -> CompileError:
    if not resolved.known_issues:
        return error
    known = " ".join(f"{issue.rstrip('.')}." for issue in resolved.known_issues)
    return CompileError(f"Known of this architecture: {known} {error.cause}", error.remedy)


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
