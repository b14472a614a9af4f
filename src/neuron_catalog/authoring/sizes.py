"""Find the sizes that no config says in the same way as another: from what the model says to a wrong one."""

from __future__ import annotations

import re
from dataclasses import replace

from neuron_catalog.authoring.compose import with_axes
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.trial import Workbench
from neuron_catalog.errors import NeuronCatalogError

PLACEHOLDERS = ("image_tokens", "audio_tokens")
"""The axes that count what stands in a text for an image or a sound."""

COUNTS = (16, 4, 1, 17, 2, 8, 9, 5, 6, 36)
"""How many placeholders there may be."""

COUNT_TOLD = re.compile(r"do not match[,:] tokens: ([1-9]\d*), features:? ([1-9]\d*)")
"""How transformers complains of a wrong number of placeholders: those of all rows, and how many it needs."""

MULTIPLE_TOLD = re.compile(r"multiple of .*?(?P<wanted>\d+)\)?, but got (?P<given>\d+)")
"""How it complains of a length that it cannot divide: what it divides by, and the length."""

WIDTH_TOLD = re.compile(
    r"size of tensor a \((?P<given>\d+)\) must match the size of tensor b \((?P<wanted>\d+)\)"
)
"""How torch complains of an input that is not as wide as a weight."""

TEXT = 12
"""Tokens of a tiny text beside its placeholders."""


def with_accepted_sizes(draft: Draft, task: str, bench: Workbench) -> Draft:
    """Return the draft with sizes that its eager model takes, as far as they can be found.

    A mask without zeros is left out if the model takes no size with it: some want it in another form.
    """
    if task not in draft.tasks:
        return draft
    draft = _as_told(draft, task, bench)
    axis = next((each for each in PLACEHOLDERS if each in draft.mandatory_axes), None)
    if axis is None:
        return draft
    inputs = bench.catalog.families[draft.family].inputs
    without = draft.with_inputs(tuple(name for name in draft.inputs if inputs[name].fill != "ones"))
    for each in (draft, without) if without != draft else (draft,):
        if found := _counted(each, axis, task, bench):
            return found
    return draft


def _as_told(draft: Draft, task: str, bench: Workbench) -> Draft:
    """Give the axis whose size the model complains of the next size that it says."""
    complaint = _complaint(draft, task, bench)
    told = MULTIPLE_TOLD.search(complaint) or WIDTH_TOLD.search(complaint)
    if told is None:
        return draft
    given, wanted = int(told["given"]), int(told["wanted"])
    wrong = [axis for axis, size in draft.tiny["axes"].items() if size == given]
    return _sized(draft, {wrong[0]: -(-given // wanted) * wanted}) if len(wrong) == 1 else draft


def _counted(draft: Draft, axis: str, task: str, bench: Workbench) -> Draft | None:
    counts = list(COUNTS)
    for tried, count in enumerate(counts, start=1):
        attempt = _sized(draft, {axis: count, "sequence_length": count + TEXT})
        complaint = _complaint(attempt, task, bench)
        if not complaint:
            return attempt
        told = COUNT_TOLD.search(complaint)
        needed = count * int(told[2]) // int(told[1]) if told else 0
        if needed and needed not in counts:
            counts.insert(tried, needed)
    return None


def _sized(draft: Draft, sizes: dict[str, int]) -> Draft:
    return replace(draft, tiny={**draft.tiny, "axes": {**draft.tiny["axes"], **sizes}})


def _complaint(draft: Draft, task: str, bench: Workbench) -> str:
    """Return what the eager model says to the inputs of a task, or nothing if it takes them."""
    try:
        bench.answers(with_axes(draft.with_tasks({task: draft.tasks[task]}), bench.catalog), task)
    except NeuronCatalogError as error:
        return error.cause
    return ""
