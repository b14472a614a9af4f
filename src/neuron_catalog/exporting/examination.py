"""Run every check on all graphs of an artifact, and then find out what a runtime may fill up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from neuron_catalog.exporting.fits import axis_fits, not_tried
from neuron_catalog.exporting.subject import Subject
from neuron_catalog.exporting.validator import not_validated, require_passed, validate
from neuron_catalog.manifest import Filling, Graph


def examine(subjects: Mapping[str, Subject], sides: Iterable[Filling]) -> tuple[Graph, ...]:
    """Return the graphs with what was seen of them; `sides` is where to try padding, best first.

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
        Graph(name=name, plan=subject.plan, checks=checks[name], fits=axis_fits(subject, sides))
        for name, subject in subjects.items()
    )


def unexamined(subjects: Mapping[str, Subject], reason: str) -> tuple[Graph, ...]:
    """Return the graphs with every check recorded as not run, and nothing that may be filled up."""
    return tuple(
        Graph(
            name=name,
            plan=subject.plan,
            checks=not_validated(subject.plan, reason),
            fits=not_tried(subject.plan, reason),
        )
        for name, subject in subjects.items()
    )
