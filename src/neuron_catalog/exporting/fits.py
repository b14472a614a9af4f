"""Find out along which axes inputs may be smaller than a graph: fill them up, compare with the eager model.

A runtime fills up nothing that was not tried here. No axis has to fit: images and waveforms never do, and a
model that reads padding as text may not be given any behind its user's back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace

from neuron_catalog.errors import NeuronCatalogError, RequestError, VerificationError
from neuron_catalog.exporting.comparisons import OTHER_BATCH_FACTOR, compare, real, too_large
from neuron_catalog.exporting.subject import PATTERNS, Outputs, Subject
from neuron_catalog.manifest import AxisFit, Difference, Filling, Plan
from neuron_catalog.models.fills import Inputs, make_inputs
from neuron_catalog.models.fitting import cut_back, filled_up, resized
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.schema.words import DERIVED_DIMS

SMALL = 16
"""Sizes up to this one are all tried."""

DRAWS = 3
"""How often each of them is tried, with other tokens. A model that picks the best tokens by nearly equal
scores picks others beside more padding, for 14 draws of 120 (deepseek_v32)."""

FIRST_SEED = 5 + len(PATTERNS)
"""Beyond those of all checks."""


def axis_fits(subject: Subject, sides: Iterable[Filling] = ("right", "left")) -> tuple[AxisFit, ...]:
    """Try each axis of the inputs that is larger than one; `sides` is where to put padding, best first."""
    with quiet_transformers(), warnings.catch_warnings():  # models tell how they adapt to what is short
        warnings.simplefilter("ignore")
        return tuple(_fit(axis, subject, tuple(sides)) for axis in _axes(subject.plan))


def questions(subject: Subject) -> Iterator[Inputs]:
    """Yield all inputs for which a trial may ask the eager model."""
    for axis in _axes(subject.plan):
        if not (_impossible(axis, subject.plan) or _waived(axis, subject.plan)):
            yield from (inputs for _, _, inputs in _trials(axis, subject))


def not_tried(plan: Plan, reason: str) -> tuple[AxisFit, ...]:
    """Record that nothing is filled up, for an export without validation."""
    return tuple(
        AxisFit(axis=axis, filled=None, detail=reason) for axis, size in plan.axes.items() if size > 1
    )


def _fit(axis: str, subject: Subject, sides: tuple[Filling, ...]) -> AxisFit:
    if reason := _impossible(axis, subject.plan) or _waived(axis, subject.plan):
        return AxisFit(axis=axis, filled=None, detail=reason)
    complaint = ""
    for filling in ("rows",) if _counts_rows(axis, subject.plan) else sides:
        try:
            return AxisFit(axis=axis, filled=filling, detail=_tried(axis, filling, subject))
        except NeuronCatalogError as error:
            complaint = complaint or error.cause
    return AxisFit(axis=axis, filled=None, detail=complaint)


def _axes(plan: Plan) -> list[str]:
    """The axes to try."""
    return [axis for axis, size in plan.axes.items() if size > 1 and _inputs_with(axis, plan)]


def _inputs_with(axis: str, plan: Plan) -> list[str]:
    """The inputs that have an axis, or a dimension computed from it."""
    return [
        tensor.name
        for tensor in plan.inputs
        if any(axis == each or axis in DERIVED_DIMS.get(each, ()) for each in tensor.axes)
    ]


def _counts_rows(axis: str, plan: Plan) -> bool:
    return all(tensor.axes.index(axis) == 0 for tensor in plan.inputs if axis in tensor.axes)


def _impossible(axis: str, plan: Plan) -> str:
    """Say what forbids to fill an axis up, whatever the model is."""
    for tensor in plan.inputs:
        derived = next((each for each in tensor.axes if axis in DERIVED_DIMS.get(each, ())), None)
        if derived:
            return f"{derived} of {tensor.name} depends on it"
    if _counts_rows(axis, plan):
        return ""
    bare = [tensor.name for tensor in plan.inputs if axis in tensor.axes and tensor.pad is None]
    return f"{' and '.join(bare)} has no pad value" if bare else ""


def _waived(axis: str, plan: Plan) -> str:
    """Say why an architecture may not be given padding, although trials may not show it."""
    reasons = (waiver.reason for waiver in plan.waivers if waiver.check == "smaller_inputs")
    return "" if _counts_rows(axis, plan) else next(reasons, "")


def _tried(axis: str, filling: Filling, subject: Subject) -> str:
    """Fill up inputs of several sizes.

    Raises:
        NeuronCatalogError: if an output differs from the eager model's at a real token, or no size is taken.
    """
    tried, worst = [], 0.0
    for size, seed, inputs in _trials(axis, subject):
        try:
            eager = subject.eager(inputs)
        except RequestError:
            continue  # nor does the model itself take so few
        given = _through(subject, inputs, {axis: filling}, {axis: size})
        _require_shapes(given, eager, f"{axis} {size}")
        given, eager = (real(each, inputs, subject.plan) for each in (given, eager))
        worst = max(worst, _require_equal(given, eager, subject, seed, f"{axis} {size}"))
        tried += [size] * (size not in tried)
    if not tried:
        raise RequestError(f"the eager model takes no smaller {axis}")
    every = len(tried) > 2 and tried == list(range(tried[0], tried[-1] - 1, -1))
    sizes = f"{tried[-1]} to {tried[0]}" if every else ", ".join(map(str, tried))
    return f"{sizes} instead of {subject.plan.axes[axis]}: largest difference {worst:.1e}"


def _trials(axis: str, subject: Subject) -> Iterator[tuple[int, int, Inputs]]:
    """Yield sizes to try with a seed for each, and the inputs that it makes."""
    for seed, size in enumerate(_sizes(axis, subject.plan), start=subject.seed + FIRST_SEED):
        yield size, seed, make_inputs(resized(subject.plan, {axis: size}), seed)


def _sizes(axis: str, plan: Plan) -> Iterator[int]:
    """Yield sizes to try: of rows three; of a small axis all, several times; of others seven.

    Models that work in steps, such as of four tokens, take sizes between two steps in another way: canine is
    right with 15, 8 and 4 of 16 tokens, and wrong with 10. What must be in a row stays in it.
    """
    size = plan.axes[axis]
    if _counts_rows(axis, plan):
        yield from dict.fromkeys((size - 1, size // 2, 1))
        return
    parts = (size - 1, size - 2, size - 3, 2 * size // 3, size // 2, size // 4, 1)
    meant = [t.placeholders + len(t.marks) + 2 for t in plan.inputs if axis in t.axes and t.placeholders]
    least = max(meant, default=1)
    sizes = list(range(size - 1, 0, -1)) * DRAWS if size <= SMALL else dict.fromkeys(parts)
    yield from (each for each in sizes if least <= each < size)


def _through(
    subject: Subject, inputs: Inputs, fillings: dict[str, Filling], sizes: dict[str, int]
) -> Outputs:
    """Run the graph as a runtime does."""
    plan = subject.plan
    full = {tensor.name: filled_up(tensor, inputs[tensor.name], fillings) for tensor in plan.inputs}
    given = subject.compiled(full)
    return {t.name: cut_back(t, given[t.name], sizes, plan, fillings) for t in plan.outputs}


def _require_shapes(given: Outputs, eager: Outputs, what: str) -> None:
    for name, value in eager.items():
        if given[name].shape != value.shape:
            shapes = f"{tuple(given[name].shape)} instead of {tuple(value.shape)}"
            raise VerificationError(f"with {what} {name} comes out as {shapes}")


def _require_equal(given: Outputs, eager: Outputs, subject: Subject, seed: int, what: str) -> float:
    tolerance = replace(subject.tolerance, factor=OTHER_BATCH_FACTOR)
    differences: tuple[Difference, ...] = compare(given, eager, tolerance, seed)
    if bad := too_large(differences):
        worst = max(bad, key=lambda each: each.largest)
        raise VerificationError(
            f"with {what} {worst.output} differs by {worst.largest:.1e} (allowed {worst.allowed:.1e})"
        )
    return max((each.largest for each in differences), default=0.0)
