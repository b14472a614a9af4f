"""What a failed row says about a draft, and the draft that says it better."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from neuron_catalog.authoring.anatomy import Head
from neuron_catalog.authoring.compose import SENSES
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.exporting.comparisons import too_large
from neuron_catalog.proving.selftest import Row

CURES_BY_COMPLAINT = {
    "cannot be saved": "plain_autograd",
    "Could not export Python function": "plain_autograd",
    "unordered_map::at": "broadcast_masks",
    "We don't have an op for": "integer_scalars",
    "padding to be a single integer": "integer_padding",
    "doesn't define __round__": "rounded_shapes",
}
"""Part of what the tracer says → the cure; see `models/cures.py`."""

FOUND_OTHERWISE = {
    r"(!=|==|\bne\(|\beq\().*pad_token_id": (
        "The head finds the last token by its id, the rightmost that is not pad_token_id, not by the mask."
    ),
    r"\[:, -1, :\]": "The head reads the last position, masked or not.",
}
"""Pattern in a forward's source → why masked tokens matter to it."""


def revised(draft: Draft, row: Row, head: Head) -> Draft | None:
    """Return the next draft to try after a row failed, or None if no revision applies."""
    for revise in REVISIONS:
        if (better := revise(draft, row, head)) is not None:
            return better
    return None


def without_ignored_inputs(draft: Draft, row: Row, head: Head) -> Draft | None:
    """Leave out what the eager model ignores as well."""
    ignored = re.findall(r"(\w+) has no effect on any output: the eager model ignores it too", row.complaint)
    needed = {head.model_class.main_input_name, *SENSES}
    spare = [name for name in ignored if name in draft.inputs and name not in needed]
    kept = tuple(name for name in draft.inputs if name not in spare)
    return draft.with_inputs(kept) if spare else None


def with_cure(draft: Draft, row: Row, head: Head) -> Draft | None:
    """Add the cure that the tracer's complaint is known for."""
    del head
    for complaint, cure in CURES_BY_COMPLAINT.items():
        if complaint in row.complaint and cure not in draft.cures:
            return replace(draft, cures=(*draft.cures, cure))
    return None


def with_experts(draft: Draft, row: Row, head: Head) -> Draft | None:
    """Where the trace is another model, its experts may have been fixed to the traced tokens."""
    wrong = any(name in row.complaint for name in ("values:", "failed to run", "trace failed"))
    takes = getattr(head.model_class, "_can_set_experts_implementation", lambda: False)()
    has = takes or "experts" in str(draft.tiny["config"])
    cure = "batched_experts" if takes else "every_expert"
    if not wrong or not has or cure in draft.cures:
        return None
    return replace(draft, cures=(*draft.cures, cure))


def with_eager_attention(draft: Draft, row: Row, head: Head) -> Draft | None:
    """A mask of ones is left out of the fused attention, and what it said besides padding is lost with it.

    Then the graph, which cannot leave it out, is right, and the eager model is wrong.
    """
    del head
    if "values:" not in row.complaint or draft.attn_implementation:
        return None
    return replace(draft, attn_implementation="eager")


def with_token_found_otherwise(draft: Draft, row: Row, head: Head) -> Draft | None:
    """Declare that masked tokens matter, if the forward does not ask the mask and nothing else is wrong."""
    failed = [check.name for check in row.checks if check.status == "failed"]
    reason = next((why for part, why in FOUND_OTHERWISE.items() if re.search(part, head.source)), None)
    if failed != ["masked_tokens_dead"] or reason is None:
        return None
    deviation = {"check": "masked_tokens_dead", "tasks": (row.task,), "reason": reason}
    return replace(draft, deviations=(*draft.deviations, deviation))


def without_unsteady_outputs(draft: Draft, row: Row, head: Head) -> Draft | None:
    """Do not offer a by-product that comes out otherwise in another batch, if that is all that is wrong."""
    del head
    failed = [check for check in row.checks if check.status == "failed"]
    if [check.name for check in failed] != ["rows_independent"]:
        return None
    unsteady = {each.output for each in too_large(failed[0].differences)}
    kept = tuple(name for name in draft.tasks[row.task] if name not in unsteady)
    if not kept or "logits" in unsteady:
        return None
    return replace(draft, tasks={**draft.tasks, row.task: kept})


REVISIONS: tuple[Callable[[Draft, Row, Head], Draft | None], ...] = (
    without_ignored_inputs,
    with_cure,
    with_experts,
    with_eager_attention,
    with_token_found_otherwise,
    without_unsteady_outputs,
)
