"""Run every check on all graphs of an artifact, and then find out what a runtime may fill up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neuron_catalog.exporting.fits import axis_fits, not_tried
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.exporting.validator import check_oracle, not_validated, require_passed, validate
from neuron_catalog.manifest import Filling, Graph, Plan


def examine(
    plans: Mapping[str, Plan], subjects: Mapping[str, Subject], sides: Iterable[Filling]
) -> tuple[Graph, ...]:
    """Return the graphs of plans with what was seen of them; `sides` is where to try padding, best first.

    Nothing is tried before all checks are through: a model may change when it is given a short text
    (big_bird leaves its sparse attention for good), and all graphs share it.

    Raises:
        RequestError: if the eager model refuses the inputs or is not deterministic.
        VerificationError: if a check failed.
    """
    checks = {}
    for name, subject in subjects.items():
        checks[name] = validate(subject)
        require_passed(checks[name])
    sides = tuple(sides)
    return tuple(
        Graph(name=name, plan=plans[name], checks=checks[name], fits=axis_fits(subject, sides))
        for name, subject in subjects.items()
    )


def examine_before(
    plans: Mapping[str, Plan], subjects: Mapping[str, Subject], sides: Iterable[Filling], reason: str
) -> tuple[Graph, ...]:
    """Examine graphs that cannot be run here, as far as their functions can before they are compiled.

    Whether these are the model is checked, and what may be filled up. Nothing is said of what was compiled.

    Raises:
        RequestError: if the eager model refuses the inputs or is not deterministic.
        VerificationError: if the functions are not the model.
    """
    sides = tuple(sides)
    graphs = []
    for name, subject in subjects.items():
        subject.require_deterministic()
        before = check_oracle(subject)
        require_passed((before,))
        checks = tuple(
            before if check.name == before.name else check for check in not_validated(subject.plan, reason)
        )
        fits = tuple(
            fit.model_copy(update={"detail": f"{fit.detail}; tried on the CPU, before it was compiled"})
            for fit in axis_fits(subject, sides)
        )
        graphs.append(Graph(name=name, plan=plans[name], checks=checks, fits=fits))
    return tuple(graphs)


def unexamined(plans: Mapping[str, Plan], reason: str) -> tuple[Graph, ...]:
    """Return the graphs with every check recorded as not run, and nothing that may be filled up."""
    return tuple(
        Graph(
            name=name,
            plan=plan,
            checks=not_validated(plan, reason),
            fits=not_tried(plan, reason),
        )
        for name, plan in plans.items()
    )
