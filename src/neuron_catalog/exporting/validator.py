"""Hold a compiled graph to its promises: seven checks, each of which can say no.

The graph is the saved and reloaded one; the reference is the unwrapped eager model with the very same
weights in memory. Inputs are fresh: none of them was used for tracing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from neuron_catalog.errors import VerificationError
from neuron_catalog.exporting.backends.protocol import DynamicBatch
from neuron_catalog.exporting.comparisons import (
    OTHER_BATCH_FACTOR,
    compare,
    difference,
    too_large,
    unmasked,
)
from neuron_catalog.exporting.questions import altered, first_row, larger_batch, larger_size, with_rows
from neuron_catalog.exporting.subject import Outputs, Subject
from neuron_catalog.manifest import Check, Difference, InputTensor, Plan
from neuron_catalog.models.fills import changed, over
from neuron_catalog.models.sources import quiet_transformers


def validate(subject: Subject) -> tuple[Check, ...]:
    """Run every check that applies, in order and without notices of transformers; return all outcomes.

    When the signature is wrong no value can be compared, so the others are recorded as not run.

    Raises:
        RequestError: if the eager model refuses the inputs or is not deterministic.
    """
    with quiet_transformers():
        return _outcomes(subject)


def _outcomes(subject: Subject) -> tuple[Check, ...]:
    subject.require_deterministic()
    first = check_signature(subject)
    outcomes = [first]
    for name, check in checks_for(subject.plan).items():
        if first.status == "failed":
            outcomes.append(_not_run(name, "the signature is wrong"))
            continue
        try:
            outcome = check(subject)
        except VerificationError as error:
            outcome = Check(name=name, status="failed", detail=error.cause)
        outcomes.append(waived(outcome, subject.plan))
    return tuple(outcomes)


def not_validated(plan: Plan, reason: str) -> tuple[Check, ...]:
    """Record every check as not run, for an export without validation."""
    return tuple(_not_run(name, reason) for name in ("signature", *checks_for(plan)))


def require_passed(checks: tuple[Check, ...]) -> None:
    """Raise if any check failed.

    Raises:
        VerificationError: with one line for each failed check.
    """
    failed = [check for check in checks if check.status == "failed"]
    if failed:
        lines = "\n".join(f"  {check.name}: {check.detail}" for check in failed)
        raise VerificationError(
            f"The compiled graph is not the model it was made from; nothing was written.\n{lines}",
            "Report it with this output; --debug adds a traceback, `neuron-catalog doctor` the versions.",
        )


def check_signature(subject: Subject) -> Check:
    """1. Number, order, shapes and dtypes of outputs equal the plan and the eager model."""
    try:
        run = subject.runs[0]
    except VerificationError as error:
        return Check(name="signature", status="failed", detail=error.cause)
    for tensor in subject.plan.outputs:
        compiled, eager = run.compiled[tensor.name], run.eager[tensor.name]
        given = tuple(compiled.shape)
        for title, fits, shape, dtype in (
            ("the plan", tensor.fits(given), tensor.shape, getattr(torch, tensor.dtype)),
            ("the eager model", compiled.shape == eager.shape, tuple(eager.shape), eager.dtype),
        ):
            if not fits:
                detail = f"{tensor.name} has shape {given}, {title} has {shape}"
                return Check(name="signature", status="failed", detail=detail)
            if compiled.dtype != dtype:
                detail = f"{tensor.name} is {compiled.dtype}, {title} has {dtype}"
                return Check(name="signature", status="failed", detail=detail)
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in run.compiled.items())
    return Check(name="signature", status="passed", detail=shapes)


def check_finite(subject: Subject) -> Check:
    """2. Every value is finite."""
    for run in subject.runs:
        for name, value in run.compiled.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                detail = f"{name} has NaN or infinity on the inputs of seed {run.seed}"
                return Check(name="finite", status="failed", detail=detail)
    return Check(name="finite", status="passed", detail="no NaN, no infinity")


def check_values(subject: Subject) -> Check:
    """3. Values equal the eager model's on fresh inputs: full mask, one token over and over, right-padded,
    mixed lengths."""
    differences = tuple(
        d for run in subject.runs for d in compare(run.compiled, run.eager, subject.tolerance, run.seed)
    )
    return _judged("values", differences, f"{len(subject.runs)} fresh inputs")


def check_inputs_alive(subject: Subject) -> Check:
    """4. Changing any one input changes an output; otherwise its value was baked into the graph.

    NaN and infinity are as good as any other change where the eager model gives them, too: a model may have
    no answer to such an input, as ESM to a text of nothing but mask tokens.
    """
    base = subject.mixed
    dead, tried = [], []
    for tensor, inputs in altered(subject.plan, base.inputs):
        tried.append(tensor.name)
        given = subject.compiled(inputs)
        if not all(torch.isfinite(value).all() for value in given.values()):
            if not _finite_alike(given, subject.eager(inputs)):
                dead.append(
                    f"another {tensor.name} gives NaN or infinity, and not where the eager model does"
                )
        elif not _changed(given, base.compiled, subject):
            alive = _changed(subject.eager(inputs), base.eager, subject)
            why = "its traced value was baked in" if alive else "the eager model ignores it too"
            dead.append(f"{tensor.name} has no effect on any output: {why}")
    if dead:
        return Check(name="inputs_alive", status="failed", detail="; ".join(dead))
    fixed = [tensor.name for tensor in subject.plan.inputs if tensor.name not in tried]
    detail = f"{', '.join(tried)} change the outputs"
    if fixed:
        detail += f"; {', '.join(fixed)} has one possible value only and was not changed"
    return Check(name="inputs_alive", status="passed", detail=detail)


def check_masked_tokens_dead(subject: Subject) -> Check:
    """5. New tokens under mask 0 leave the outputs of the other tokens alone."""
    name = "masked_tokens_dead"
    masks = subject.plan.masks
    if not masks:
        return _not_run(name, "the model has no mask")
    roomy = [mask for mask in masks if not subject.mixed.inputs[mask.name].bool().all()]
    if not roomy:
        full = " and ".join(f"{mask.name} of shape {mask.shape}" for mask in masks)
        return _not_run(name, f"{full} leaves no room for padding")
    differences = tuple(each for mask in roomy for each in _differences_under(mask, subject))
    if not differences:
        return Check(name=name, status="failed", detail="no output has a position that is surely real")
    what = " and ".join(f"other {' and '.join(mask.masks)} under {mask.name} 0" for mask in roomy)
    return _judged(name, differences, what)


def _differences_under(mask: InputTensor, subject: Subject) -> Iterator[Difference]:
    """Yield what changes in the outputs of real entries when those under a zero of the mask change."""
    base = subject.mixed
    kept = base.inputs[mask.name].bool()
    masked = {
        tensor.name: torch.where(
            over(kept, mask.axes, base.inputs[tensor.name], tensor),
            base.inputs[tensor.name],
            changed(tensor, base.inputs[tensor.name]),
        )
        for tensor in subject.plan.inputs
        if tensor.name in mask.masks
    }
    given = subject.compiled({**base.inputs, **masked})
    for tensor in subject.plan.outputs:
        before, after = (
            unmasked(outputs[tensor.name], tensor, kept, mask.axes) for outputs in (base.compiled, given)
        )
        if before.numel():
            yield Difference(
                output=tensor.name,
                seed=base.seed,
                largest=difference(after, before),
                allowed=subject.tolerance.allowed(base.compiled[tensor.name]),
            )


def check_rows_independent(subject: Subject) -> Check:
    """6. A row gives the same alone (in the eager model) and beside other rows (in the graph)."""
    name = "rows_independent"
    rowed = with_rows(subject.plan)
    if not rowed:
        return _not_run(name, "the inputs and outputs do not begin with one common axis")
    base = subject.mixed
    if len(base.inputs[rowed[0]]) == 1:
        return _not_run(name, "the batch has one row only")
    new = subject.other_inputs()
    among_others = subject.compiled(
        {n: torch.cat([value[:1], new[n][1:]]) if n in rowed else value for n, value in base.inputs.items()}
    )
    alone = subject.eager(first_row(base.inputs, rowed))
    other_batch = replace(subject.tolerance, factor=OTHER_BATCH_FACTOR)
    in_batch = {n: value[:1] for n, value in base.compiled.items()}
    differences = (
        *compare({n: value[:1] for n, value in among_others.items()}, in_batch, subject.tolerance, base.seed),
        *compare(in_batch, alone, other_batch, base.seed),
    )
    return _judged(name, differences, "a row alone, and beside other rows")


def check_oracle(subject: Subject) -> Check:
    """7. The wrapped module agrees with the unwrapped model."""
    base = subject.mixed
    with torch.no_grad():
        wrapped = subject.compiled(base.inputs, subject.wrapped)
    differences = compare(wrapped, base.eager, subject.tolerance, base.seed)
    return _judged("oracle", differences, f"wrapper {subject.plan.wrapper} against the plain model")


def check_dynamic_batch(subject: Subject) -> Check:
    """A batch of another size, split, padded and joined, equals the eager model's."""
    axis = subject.plan.dynamic_axes[0]
    batch = subject.plan.axes[axis]
    seed, inputs = larger_batch(subject)
    given = subject.compiled(inputs, DynamicBatch(subject.graph, batch))
    differences = compare(
        given, subject.eager(inputs), replace(subject.tolerance, factor=OTHER_BATCH_FACTOR), seed
    )
    larger = larger_size(batch)
    return _judged("dynamic_batch", differences, f"{axis} {larger} through a graph of {batch}")


CHECKS: dict[str, Callable[[Subject], Check]] = {
    "finite": check_finite,
    "values": check_values,
    "inputs_alive": check_inputs_alive,
    "masked_tokens_dead": check_masked_tokens_dead,
    "rows_independent": check_rows_independent,
    "oracle": check_oracle,
}
"""The checks that follow the signature, in order."""


def checks_for(plan: Plan) -> dict[str, Callable[[Subject], Check]]:
    """Return the checks that apply to a plan: one more if any batch must be served."""
    return {**CHECKS, "dynamic_batch": check_dynamic_batch} if plan.dynamic_axes else CHECKS


def _judged(name: str, differences: tuple[Difference, ...], what: str) -> Check:
    bad = too_large(differences)
    if bad:
        worst = max(bad, key=lambda d: d.largest / d.allowed if d.allowed else float("inf"))
        detail = (
            f"{worst.output} differs by {worst.largest:.1e} (allowed {worst.allowed:.1e}) "
            f"on the inputs of seed {worst.seed}; {what}"
        )
        return Check(name=name, status="failed", detail=detail, differences=differences)
    largest = max((d.largest for d in differences), default=0.0)
    detail = f"{what}: largest difference {largest:.1e}"
    return Check(name=name, status="passed", detail=detail, differences=differences)


def _changed(after: Outputs, before: Outputs, subject: Subject) -> bool:
    """Whether outputs differ by more than rounding; both are of one computation, however precise it is."""
    tolerance = replace(subject.tolerance, absolute_alternative=False)
    return any(difference(after[name], value) > tolerance.allowed(value) for name, value in before.items())


def _finite_alike(outputs: Outputs, others: Outputs) -> bool:
    """Whether NaN and infinities are at the same places."""
    return all(
        torch.equal(torch.isfinite(value), torch.isfinite(others[name])) for name, value in outputs.items()
    )


def waived(check: Check, plan: Plan) -> Check:
    """Turn a failure that the architecture declares into a deviation with its reason."""
    reason = next((waiver.reason for waiver in plan.waivers if waiver.check == check.name), None)
    if check.status != "failed" or reason is None:
        return check
    detail = f"by design: {reason} ({check.detail})"
    return check.model_copy(update={"status": "deviates", "detail": detail})


def _not_run(name: str, reason: str) -> Check:
    return Check(name=name, status="not_run", detail=reason)
