"""From a resolved request to a saved, reloaded and examined graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends.protocol import Backend
from neuron_catalog.exporting.comparisons import Tolerance
from neuron_catalog.exporting.publish import require_space
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.manifest import Plan, SourceRecord
from neuron_catalog.models.cures import cured
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.sources import EagerModel, Source
from neuron_catalog.models.weights import outputs_depending_on, weight_facts
from neuron_catalog.models.wrappers import WRAPPERS

OnStep = Callable[[str], None]
"""Told what begins now, for progress on a terminal."""


@dataclass(frozen=True)
class Built:
    """A saved graph, ready for examination, and where its weights came from."""

    plan: Plan
    model: nn.Module
    subject: Subject
    source: SourceRecord


def build(resolved: Resolved, folder: Path, on_step: OnStep) -> Built:
    """Load the weights, compile, write the graph into `folder` and read it back.

    Raises:
        RequestError: if the weights cannot be loaded, do not serve the task, or the disk is full.
        CompileError: if the backend refuses the model.
    """
    on_step(f"Loading {resolved.source.name}")
    eager = resolved.source.load(resolved.plan)
    plan = without_untrained_outputs(resolved.plan, eager, resolved.source, resolved.seed)
    source = describe_source(resolved.source, eager, resolved.seed)
    on_step(f"Compiling with {resolved.backend_name} on the {resolved.backend.DEVICE}")
    path = folder / resolved.backend.FILE_NAME
    wrapped = WRAPPERS[plan.wrapper].module(eager.module, plan)
    example = tuple(make_inputs(plan, resolved.seed).values())
    with cured(eager.module, plan.cures):
        graph = resolved.backend.compile(wrapped, example)
        require_space(path, source.weights_bytes)
        resolved.backend.save(graph, path)
    del graph
    return Built(
        plan, eager.module, make_subject(plan, eager.module, resolved.backend, path, resolved.seed), source
    )


def make_subject(plan: Plan, model: nn.Module, backend: Backend, graph: Path, seed: int) -> Subject:
    """Load a saved graph and put it beside the eager model it was made from; the model is not copied."""
    wrapper = WRAPPERS[plan.wrapper]
    return Subject(
        plan=plan,
        graph=backend.load(graph),
        wrapped=wrapper.module(model, plan),
        oracle=wrapper.oracle(model, plan),
        tolerance=Tolerance.of(plan, backend.ABSOLUTE_BOUND),
        seed=seed,
    )


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


def without_untrained_outputs(plan: Plan, eager: EagerModel, source: Source, seed: int) -> Plan:
    """Leave out the outputs that depend on weights which the checkpoint does not have.

    Raises:
        RequestError: if no output would be left: the checkpoint was not trained for this task.
    """
    if not eager.missing_weights:
        return plan
    oracle = WRAPPERS[plan.wrapper].oracle(eager.module, plan)
    untrained = outputs_depending_on(eager.module, eager.missing_weights, oracle, make_inputs(plan, seed))
    kept = tuple(tensor for tensor in plan.outputs if tensor.name not in untrained)
    if not kept:
        missing = ", ".join(eager.missing_weights[:3])
        more = len(eager.missing_weights) - 3
        raise RequestError(
            f"{source.name} was not trained for {plan.task}: it lacks the weights {missing}"
            + (f" and {more} more." if more > 0 else "."),
            "Choose the task it was trained for, or train this one first.",
        )
    return plan.model_copy(update={"outputs": kept})
