"""A size for each axis: what the caller chose, or what the family or the config say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from neuron_catalog.catalog.selection import axes_in_use, default_of, has_default
from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.plan.dims import Dims
from neuron_catalog.schema.documents import Architecture, Family
from neuron_catalog.schema.words import DERIVED_DIMS


def chosen_axes(
    architecture: Architecture,
    family: Family,
    task: str,
    from_config: Dims,
    given: Mapping[str, int],
) -> dict[str, int]:
    """Return a size for each axis of this task, in the family's order.

    Raises:
        RequestError: if an axis is unknown or not of this task, not a positive number, missing, or fixed by
            the config to another size.
    """
    name = architecture.architecture
    used = axes_in_use(architecture, family, from_config.aliases, task)
    for axis, size in given.items():
        if axis not in used:
            raise RequestError(
                f"{name} has no axis {axis!r} for {task}; {nearest(axis, used)}",
                f"Its axes are: {', '.join(a for a in family.axes if a in used)}.",
            )
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise RequestError(f"{axis} must be a positive whole number, not {size!r}.", "")
    chosen: dict[str, int | None] = {}
    for axis in family.axes:
        if axis in used:
            chosen[axis] = given.get(axis) or _default(axis, family, from_config, task, chosen)
    if missing := _missing(chosen, family, task):
        sizes = {**{a: s for a, s in chosen.items() if s}, **{a: family.axes[a].suggest for a in missing}}
        needed = [axis for axis in chosen if axis in missing or axis in given]
        ready = " ".join(f"--{axis} {sizes[axis]}" for axis in needed)
        raise RequestError(
            f"{name} needs {' and '.join(missing)} for {task}: a compiled graph has fixed shapes.",
            f"Add for example: {ready}",
        )
    for axis in chosen:
        wanted = _default(axis, family, from_config, task, chosen) if family.axes[axis].fixed else None
        if wanted is not None and chosen[axis] != wanted:
            refuse_size(name, axis, chosen[axis], wanted)
    return {axis: size for axis, size in chosen.items() if size is not None}


def _missing(chosen: Mapping[str, int | None], family: Family, task: str) -> list[str]:
    """Return the axes that the caller must choose; one that follows from another of them is none."""
    missing = [axis for axis, size in chosen.items() if size is None]
    return [axis for axis in missing if not set(_parts(family, axis, task)) & set(missing)]


def _default(
    axis: str, family: Family, from_config: Dims, task: str, chosen: Mapping[str, int | None]
) -> int | None:
    """Return a number, or what follows from the config and the axes that the family lists before."""
    default = default_of(family.axes[axis], task)
    if not isinstance(default, str):
        return default
    before = {part: chosen[part] for part in _parts(family, axis, task) if part in chosen}
    known = {part: size for part, size in before.items() if size is not None}
    if len(known) < len(before) or not has_default(axis, family, from_config.aliases, task):
        return None
    dims = replace(from_config, axes=known)
    if task in family.axes[axis].default_for and not dims.knows(default):
        return None  # the caller must choose it, as for other tasks
    return dims.size(default)


def _parts(family: Family, axis: str, task: str) -> tuple[str, ...]:
    """Return the axes that a default is computed from."""
    default = default_of(family.axes[axis], task)
    parts = DERIVED_DIMS.get(default, (default,)) if isinstance(default, str) else ()
    return tuple(part for part in parts if part in family.axes and part != axis)


def refuse_size(name: str, axis: str, chosen: int | None, wanted: int) -> NoReturn:
    """Say that the config of a model gives another size.

    Raises:
        RequestError: always.
    """
    raise RequestError(
        f"{axis} {chosen} does not fit this {name} model: its config says {wanted}.",
        f"Leave --{axis} out, or use {wanted}.",
    )
