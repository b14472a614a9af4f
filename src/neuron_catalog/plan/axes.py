"""A size for each axis: what the caller chose, or what the catalog or the config say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from neuron_catalog.catalog.selection import axes_in_use, default_of, has_default
from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.plan.dims import Dims
from neuron_catalog.schema.components import Selection
from neuron_catalog.schema.documents import Family
from neuron_catalog.schema.tensors import Axis
from neuron_catalog.schema.words import DERIVED_DIMS


def chosen_axes(
    architecture: Selection,
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
    used = axes_in_use(architecture, family, from_config.aliases, task)
    return AxisChoice(architecture.name, task, family.axes, from_config).of(given, used)


@dataclass(frozen=True)
class AxisChoice:
    """Axes of which some are used, and what a config says about them."""

    name: str
    """Whose axes they are, for messages."""
    task: str
    """Empty for what has no task."""
    axes: Mapping[str, Axis]
    from_config: Dims

    def of(self, given: Mapping[str, int], used: set[str]) -> dict[str, int]:
        """Return a size for each axis that is used, in the catalog's order; see `chosen_axes`."""
        for axis, size in given.items():
            if axis not in used:
                raise RequestError(
                    f"{self.name} has no axis {axis!r}{for_task(self.task)}; {nearest(axis, used)}",
                    f"Its axes are: {', '.join(a for a in self.axes if a in used)}.",
                )
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise RequestError(f"{axis} must be a positive whole number, not {size!r}.", "")
        chosen: dict[str, int | None] = {}
        for axis in self.axes:
            if axis in used:
                chosen[axis] = given.get(axis) or self._default(axis, chosen)
        self._require_all(chosen, given)
        for axis in chosen:
            wanted = self._default(axis, chosen) if self.axes[axis].fixed else None
            if wanted is not None and chosen[axis] != wanted:
                refuse_size(self.name, axis, chosen[axis], wanted)
        return {axis: size for axis, size in chosen.items() if size is not None}

    def _require_all(self, chosen: Mapping[str, int | None], given: Mapping[str, int]) -> None:
        """Ask for the axes that the caller must choose; one that follows from another of them is none."""
        lacking = [axis for axis, size in chosen.items() if size is None]
        missing = [axis for axis in lacking if not set(self._parts(axis)) & set(lacking)]
        if missing:
            sizes = {**{a: s for a, s in chosen.items() if s}, **{a: self.axes[a].suggest for a in missing}}
            needed = [axis for axis in chosen if axis in missing or axis in given]
            ready = " ".join(f"--{axis} {sizes[axis]}" for axis in needed)
            raise RequestError(
                f"{self.name} needs {' and '.join(missing)}{for_task(self.task)}: "
                "a compiled graph has fixed shapes.",
                f"Add for example: {ready}",
            )

    def _default(self, axis: str, chosen: Mapping[str, int | None]) -> int | None:
        """Return a number, or what follows from the config and the axes that are listed before."""
        default = default_of(self.axes[axis], self.task)
        if not isinstance(default, str):
            return default
        before = {part: chosen[part] for part in self._parts(axis) if part in chosen}
        known = {part: size for part, size in before.items() if size is not None}
        if len(known) < len(before) or not has_default(axis, self.axes, self.from_config.aliases, self.task):
            return None
        dims = replace(self.from_config, axes=known)
        if self.task in self.axes[axis].default_for and not dims.knows(default):
            return None  # the caller must choose it, as for other tasks
        return dims.size(default)

    def _parts(self, axis: str) -> tuple[str, ...]:
        """Return the axes that a default is computed from."""
        default = default_of(self.axes[axis], self.task)
        parts = DERIVED_DIMS.get(default, (default,)) if isinstance(default, str) else ()
        return tuple(part for part in parts if part in self.axes and part != axis)


def for_task(task: str) -> str:
    """Return the end of a phrase: ` for fill-mask`; nothing for what has no task."""
    return f" for {task}" if task else ""


def not_offered(name: str, task: str, option: str) -> RequestError:
    """Return what is raised about an option that decides nothing here."""
    return RequestError(f"--{option} is not offered by {name}{for_task(task)}.", "Leave it out.")


def require_bounds(axes: Mapping[str, Axis], sizes: Mapping[str, int]) -> None:
    """Hold each chosen axis to the axis that it may not exceed.

    Raises:
        RequestError: naming both.
    """
    for axis, size in sizes.items():
        bound = axes[axis].at_most
        if bound and bound in sizes and size > sizes[bound]:
            raise RequestError(
                f"{axis} {size} is larger than {bound} {sizes[bound]}.",
                f"Use --{axis} {sizes[bound]} or less, or a larger --{bound}.",
            )


def refuse_size(name: str, axis: str, chosen: int | None, wanted: int) -> NoReturn:
    """Say that the config of a model gives another size.

    Raises:
        RequestError: always.
    """
    raise RequestError(
        f"{axis} {chosen} does not fit this {name} model: its config says {wanted}.",
        f"Leave --{axis} out, or use {wanted}.",
    )
