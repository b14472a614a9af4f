"""Write an architecture from a model type: draft, try, revise, until it passes or nothing is left to try."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PretrainedConfig

from neuron_catalog.authoring.anatomy import Anatomy, Head, dissect
from neuron_catalog.authoring.compose import (
    families_for,
    first_draft,
    with_axes,
    with_inputs_in_use,
)
from neuron_catalog.authoring.draft import Draft
from neuron_catalog.authoring.passing import passing, plain
from neuron_catalog.authoring.prose import summary
from neuron_catalog.authoring.shrinking.shrinker import Shrinker
from neuron_catalog.authoring.shrinking.ways import WAYS
from neuron_catalog.authoring.sizes import with_accepted_sizes
from neuron_catalog.authoring.trial import BUILDING_ERRORS, Workbench, workbench
from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import NeuronCatalogError, RequestError, first_line
from neuron_catalog.exporting.comparisons import OTHER_BATCH_FACTOR, RELATIVE_BOUND, difference, largest
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.proving.selftest import Row
from neuron_catalog.schema.documents import Family

LARGEST_TINY = 20_000_000
"""Parameters of a tiny model at most."""

OF_FORM = re.compile(
    r"to unpack|required positional|unexpected keyword|knows no output such as|config has no '|"
    r"has no attribute"
)
"""What a model says of inputs in another form than its own; no other size will mend that."""


@dataclass(frozen=True)
class Authored:
    """A finished draft, its rows, and what could not be served with the reason."""

    draft: Draft
    rows: tuple[Row, ...]
    left_out: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether anything is left, and all of it passed."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    def saying(self, summary: str, checkpoint: str | None) -> Authored:
        """Return the same with other prose."""
        return replace(self, draft=replace(self.draft, summary=summary, checkpoint=checkpoint))


def author(
    model_type: str,
    catalog: Catalog,
    on_step: Callable[[str], None] = lambda _: None,
    checkpoint: str | None = None,
) -> Authored:
    """Return the architecture of a model type with the tasks that pass every check.

    `checkpoint` is the hub id to name in it; if absent, the one in the documentation of the config class.

    Raises:
        RequestError: if no task passes; it names the reason for each.
    """
    on_step(f"Looking {model_type} up")
    anatomy = dissect(model_type, catalog)
    reasons: dict[str, str] = {}
    families = list(families_for(anatomy, catalog))
    with workbench(catalog) as bench:
        for tiny, config in _tiny_configs(anatomy, reasons):
            partly: Authored | None = None
            for family in tuple(families):
                on_step(f"Drafting {model_type} as {family.family}")
                authored = _in_family(anatomy, family, bench, tiny, config)
                if authored is None:
                    continue
                if authored.passed and anatomy.heads[0].task in authored.draft.tasks:
                    return authored.saying(authored.draft.summary, checkpoint or authored.draft.checkpoint)
                partly = partly or (authored if authored.passed else None)
                for task, reason in authored.left_out.items():
                    reasons.setdefault(f"{task} as {family.family}", reason)
                if all(OF_FORM.search(reason) for reason in authored.left_out.values()):
                    families.remove(family)
            if partly:  # no family serves the model without its head
                return partly.saying(partly.draft.summary, checkpoint or partly.draft.checkpoint)
    detail = "\n".join(f"  {task}: {reason}" for task, reason in reasons.items())
    raise RequestError(
        f"No task of {model_type} passes.\n{detail}" if reasons else f"No family fits {model_type}.",
        "What is missing is a family, a cure or a wrapper; see docs/catalog-format.md.",
    )


def _tiny_configs(
    anatomy: Anatomy, reasons: dict[str, str]
) -> Iterator[tuple[dict[str, Any], PretrainedConfig]]:
    """Yield arguments of small configs from which the first head can be built, and these configs.

    It is built without memory for its weights. Why another way of shrinking failed goes into `reasons`.
    """
    tried: list[dict[str, Any]] = []
    for way in WAYS.values():
        try:
            arguments = Shrinker(way).arguments(anatomy.config)
            if arguments in tried:
                continue
            tried.append(arguments)
            with quiet_transformers(), torch.device("meta"):
                config = AutoConfig.for_model(anatomy.model_type, **arguments)
                model = anatomy.heads[0].model_class._from_config(config)
        except BUILDING_ERRORS as error:
            reasons.setdefault("tiny", f"{type(error).__name__}: {first_line(error)}")
            continue
        size = sum(parameter.numel() for parameter in model.parameters())
        if size > LARGEST_TINY:
            reasons.setdefault("tiny", f"it has {size:,} parameters, more than {LARGEST_TINY:,}")
            continue
        reasons.pop("tiny", None)
        yield arguments, config


def _in_family(
    anatomy: Anatomy, family: Family, bench: Workbench, tiny: dict[str, Any], config: PretrainedConfig
) -> Authored | None:
    whole = first_draft(anatomy, family, bench.catalog, tiny, config)
    if whole is None:
        return None
    left_out: dict[str, str] = {}
    sized = (with_accepted_sizes(whole, task, bench) for task in whole.tasks)
    draft = next((each for each in sized if each is not whole), whole)
    for head in anatomy.heads:
        if head.task not in draft.tasks:
            continue
        try:
            draft = _with_outputs(draft, head, bench)
            _require_causal(draft, head, bench)
            draft = passing(draft, head, bench)
        except NeuronCatalogError as error:
            left_out[head.task] = error.cause
            draft = draft.without_task(head.task)
    if not draft.tasks:
        return Authored(whole, (), left_out)
    draft = _limited(with_axes(with_inputs_in_use(draft, family), bench.catalog), bench)
    draft = replace(draft, summary=summary(anatomy, draft.family, draft.tasks))
    rows: tuple[Row, ...] = ()
    while draft.tasks:
        rows = tuple(bench.rows(draft, tuple(draft.tasks)))
        if all(row.passed for row in rows):
            break
        for row in rows:
            if not row.passed:
                left_out[row.task] = row.complaint
                draft = draft.without_task(row.task)
        draft, rows = with_axes(draft, bench.catalog) if draft.tasks else draft, ()
    return Authored(draft, rows, left_out)


SPARE = re.compile(r"mask$|token_type_ids$")
"""Inputs that a model may want in another form than the family gives them, and can do without."""


def _with_outputs(draft: Draft, head: Head, bench: Workbench) -> Draft:
    """Keep the outputs that the model gives, in its order, and whose shape is the family's."""
    draft, given = _answering(draft, head, bench)
    planned = {
        tensor.name: tensor for tensor in bench.plan(plain(draft, head.task, bench), head.task)[0].outputs
    }
    fitting = tuple(
        name
        for name, value in given.items()
        if name in planned
        and value.dtype == getattr(torch, planned[name].dtype)
        and planned[name].fits(tuple(value.shape))
    )
    scores = [name for name in given if name == "logits"]
    if not fitting or not set(scores) <= set(fitting):  # a head without its scores would prove nothing
        shapes = ", ".join(f"{name} {tuple(given[name].shape)}" for name in scores or given)
        raise RequestError(f"family {draft.family} knows no output such as {shapes or 'none at all'}")
    return replace(draft, tasks={**draft.tasks, head.task: fitting})


TOO_SMALL = re.compile(r"too small|[Kk]ernel size can't be greater")

LARGER = (2, 4, 8)
"""How many times larger an image may have to be."""


def _answering(draft: Draft, head: Head, bench: Workbench) -> tuple[Draft, dict[str, Tensor]]:
    """Return a draft as the model takes it, and its answers: without spare inputs, with larger images.

    Raises:
        NeuronCatalogError: if it takes none.
    """
    axes = draft.tiny["axes"]
    sides = {axis: axes[axis] for axis in ("height", "width") if axis in axes}
    attempts = [draft, draft.with_inputs(tuple(name for name in draft.inputs if not SPARE.search(name)))]
    larger = ({axis: times * size for axis, size in sides.items()} for times in LARGER if sides)
    attempts += (replace(draft, tiny={**draft.tiny, "axes": {**axes, **each}}) for each in larger)
    complaint = ""
    for number, attempt in enumerate(attempts):
        if number > 1 and not TOO_SMALL.search(complaint):
            break
        try:
            return attempt, bench.answers(plain(attempt, head.task, bench), head.task)
        except NeuronCatalogError as error:
            complaint = error.cause
    raise RequestError(complaint)


def _require_causal(draft: Draft, head: Head, bench: Workbench) -> None:
    """What predicts the next token must not have seen it: encoders have such heads too, unused.

    Raises:
        RequestError: if a later token changes what was said before it.
    """
    if not bench.catalog.tasks[head.task].causal:
        return
    before, after = bench.answers_to_another_end(plain(draft, head.task, bench), head.task)
    for name, value in before.items():
        if difference(value[:, :-1], after[name][:, :-1]) > OTHER_BATCH_FACTOR * RELATIVE_BOUND * largest(
            value
        ):
            raise RequestError(f"it sees the tokens after the one to predict ({name} changes): not causal")


def _limited(draft: Draft, bench: Workbench) -> Draft:
    """Add what the config says about sizes, as far as the model holds to it."""
    task = next(iter(draft.tasks))
    if "sequence_length" in draft.mandatory_axes:
        for dim in ("max_position_embeddings", "positions_after_padding"):
            limit = {"axis": "sequence_length", "at_most": dim}
            limited = replace(draft, limits=(limit,))
            if _takes(limited, task, {"sequence_length": dim}, bench):
                draft = limited
                break
    sides = {"height": "image_height", "width": "image_width"}
    if not set(sides) <= set(bench.plan(draft, task)[0].axes) or set(sides) & set(draft.mandatory_axes):
        return draft
    if _takes(draft, task, sides, bench, factor=2):
        return draft
    exact = tuple({"axis": axis, "exactly": dim} for axis, dim in sides.items())
    return replace(draft, limits=(*draft.limits, *exact))


def _takes(draft: Draft, task: str, sizes: Mapping[str, str], bench: Workbench, factor: int = 1) -> bool:
    """Tell whether the tiny model takes axes of a size that its config gives, times a factor."""
    try:
        axes = {axis: factor * bench.size(draft, task, dim) for axis, dim in sizes.items()}
        bench.answers(draft, task, axes)
    except NeuronCatalogError:
        return False
    return True
