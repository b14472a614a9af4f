"""Find how many placeholders in a text an image or a sound needs, by trying."""

from __future__ import annotations

import re
from dataclasses import replace

from neuron_catalog.authoring.compose import with_axes
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.trial import Workbench
from neuron_catalog.errors import NeuronCatalogError

AXES = ("image_tokens", "audio_tokens")
"""The axes that count placeholders."""

COUNTS = (16, 4, 1, 17, 2, 8, 9, 5, 6, 36)
"""How many there may be; no config says it in the same way as another."""

TOLD = re.compile(r"do not match, tokens: ([1-9]\d*), features:? ([1-9]\d*)")
"""How transformers complains of a wrong number of placeholders: those of all rows, and how many it needs."""

TEXT = 12
"""Tokens of a tiny text beside its placeholders."""


def with_placeholders(draft: Draft, task: str, bench: Workbench) -> Draft:
    """Return the draft with the first number of placeholders that its model takes, if it needs any."""
    axis = next((each for each in AXES if each in draft.mandatory_axes), None)
    if axis is None or task not in draft.tasks:
        return draft
    counts = list(COUNTS)
    for tried, count in enumerate(counts, start=1):
        axes = {**draft.tiny["axes"], axis: count, "sequence_length": count + TEXT}
        attempt = replace(draft, tiny={**draft.tiny, "axes": axes})
        alone = with_axes(attempt.with_tasks({task: draft.tasks[task]}), bench.catalog)
        try:
            bench.answers(alone, task)
        except NeuronCatalogError as error:
            needed = _needed(count, error.cause)
            if needed and needed not in counts:
                counts.insert(tried, needed)
            continue
        return attempt
    return draft


def _needed(count: int, complaint: str) -> int:
    """Return the number that a model asked for, or 0 if it did not."""
    told = TOLD.search(complaint)
    return count * int(told[2]) // int(told[1]) if told else 0
