"""Revise a draft until a task passes, and try the wrappers that may serve it."""

from __future__ import annotations

from collections.abc import Iterator

from neuron_catalog.authoring.anatomy import Head
from neuron_catalog.authoring.compose import with_axes
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.revisions import revised
from neuron_catalog.authoring.trial import Workbench
from neuron_catalog.errors import RequestError

MOST_REVISIONS = 6

OTHER_WRAPPERS = {
    "static-cache": ("shifted-cache", "forward"),
    "static-encoder-decoder-cache": ("forward",),
}
"""Wrapper of a family → those that serve models for which it is wrong."""


def passing(draft: Draft, head: Head, bench: Workbench) -> Draft:
    """Return a draft with whose wrapper and revisions the row of a head passes.

    Raises:
        RequestError: with what is still wrong with the family's wrapper, when nothing helps.
    """
    complaints = []
    for attempt in _wrapped(draft, head.task, bench):
        try:
            return _revised(attempt, head, bench)
        except RequestError as error:
            complaints.append(error)
    raise complaints[0]


def plain(draft: Draft, task: str, bench: Workbench) -> Draft:
    """Return a draft of one task that calls the model as it is, without a cache."""
    return _alone(draft.with_wrapper(task, "forward"), task, bench)


def _wrapped(draft: Draft, task: str, bench: Workbench) -> Iterator[Draft]:
    """Yield drafts with all wrappers that may do, the family's first."""
    yield draft
    own = bench.catalog.families[draft.family].wrappers.get(task, "forward")
    yield from (draft.with_wrapper(task, other) for other in OTHER_WRAPPERS.get(own, ()))


def _revised(draft: Draft, head: Head, bench: Workbench) -> Draft:
    for _ in range(MOST_REVISIONS):
        (row,) = bench.rows(_alone(draft, head.task, bench), (head.task,))
        if row.passed:
            return draft
        better = revised(draft, row, head)
        if better is None:
            break
        draft = better
    raise RequestError(row.complaint)


def _alone(draft: Draft, task: str, bench: Workbench) -> Draft:
    return with_axes(draft.with_tasks({task: draft.tasks[task]}), bench.catalog)
