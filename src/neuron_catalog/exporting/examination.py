"""Run every check on all graphs of an artifact, and then find out what a runtime may fill up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neuron_catalog.exporting.fits import axis_fits, not_tried
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.exporting.validator import not_validated, require_passed, validate
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
