"""Checks of a family: are its axes, fills and dims names that something defines?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from neuron_catalog.catalog.loader import Entry
from neuron_catalog.catalog.names import Surroundings, renamed, unknown, unknown_tasks
from neuron_catalog.catalog.source import YamlPath
from neuron_catalog.errors import Finding
from neuron_catalog.schema.documents import Family
from neuron_catalog.schema.tensors import Axis, PerLayer, Repeated
from neuron_catalog.schema.words import CACHE_AXES, DERIVED_DIMS, MEMBER_DIMS, OPEN_SIZES


def check_family(entry: Entry[Family], around: Surroundings) -> Iterator[Finding]:
    """Check a family by itself: axes, fills, and that each dim is known to some normalized config."""
    family, source = entry.document, entry.source
    if source.path.stem != family.family:
        yield renamed(entry, "family", family.family)
    yield from check_axes(entry, family.axes, around)
    yield from _check_wrappers(entry, around)
    yield from _check_family_inputs(entry, around)
    yield from _check_family_constants(entry, around)
    yield from _check_family_outputs(entry, around)


def check_axes(entry: Entry[Any], axes: Mapping[str, Axis], around: Surroundings) -> Iterator[Finding]:
    """Check that each axis has a size to suggest or to take, and refers to what exists."""
    source = entry.source
    for name, axis in axes.items():
        if axis.suggest is None and axis.default is None:
            message = f"axis {name} needs suggest or default"
            yield source.finding(("axes", name), "NC311", message, "add one")
        if axis.suggest is not None and isinstance(axis.default, int):
            message = f"axis {name} has a number as default, so its suggest is never used"
            yield source.finding(("axes", name), "NC311", message, "remove one")
        if axis.fixed and not isinstance(axis.default, str):
            message = f"axis {name} is fixed, but its default is no dim of the config"
            yield source.finding(("axes", name), "NC311", message, "name the dim under default")
        yield from unknown_tasks(entry, ("axes", name, "only_for"), axis.only_for, around.tasks)
        default = [axis.default] if isinstance(axis.default, str) else []
        known = around.config_keys | set(DERIVED_DIMS)
        others = known | (set(axes) - {name})
        yield from unknown(entry, ("axes", name, "default"), default, others, "axis or dim of a config")
        yield from unknown_tasks(entry, ("axes", name, "default_for"), axis.default_for, around.tasks)
        for task, dim in axis.default_for.items():
            named = [dim] if isinstance(dim, str) else []
            place: YamlPath = ("axes", name, "default_for", task)
            yield from unknown(entry, place, named, others, "axis or dim of a config")
        yield from unknown(entry, ("axes", name, "at_most"), _given(axis.at_most), axes, "axis")
        factor: YamlPath = ("axes", name, "multiple_of")
        yield from unknown(entry, factor, _given(axis.multiple_of), known, "dim of a config")


def _check_wrappers(entry: Entry[Family], around: Surroundings) -> Iterator[Finding]:
    family = entry.document
    yield from unknown_tasks(entry, ("wrappers",), family.wrappers, around.tasks)
    for task, wrapper in family.wrappers.items():
        for axis in CACHE_AXES.get(wrapper, ()):
            if axis not in family.axes:
                message = f"wrapper {wrapper} needs the axis {axis}"
                yield entry.source.finding(("wrappers", task), "NC311", message, "define it under axes")


def _check_family_constants(entry: Entry[Family], around: Surroundings) -> Iterator[Finding]:
    dims = {*entry.document.axes, *DERIVED_DIMS, *around.config_keys}
    for name, constant in entry.document.constants.items():
        where: YamlPath = ("constants", name)
        each = constant.each if isinstance(constant.each, tuple) else (constant.each,)
        for position, size in enumerate(each):
            place = (*where, "each", position) if isinstance(constant.each, tuple) else (*where, "each")
            if isinstance(size, str):
                yield from unknown(entry, place, [size], dims, "dim")
        yield from unknown(entry, (*where, "times"), [constant.times], dims, "dim")
        yield from unknown_tasks(entry, (*where, "only_for"), constant.only_for, around.tasks)
        if name in entry.document.inputs:
            message = f"{name} is both an input and a constant"
            yield entry.source.finding(where, "NC311", message, "keep one")


def _check_family_inputs(entry: Entry[Family], around: Surroundings) -> Iterator[Finding]:
    family = entry.document
    config_keys = around.config_keys
    dims = {*family.axes, *DERIVED_DIMS, *config_keys}
    for name, tensor in family.inputs.items():
        where: YamlPath = ("inputs", name)
        pads = tensor.pad if isinstance(tensor.pad, tuple) else ()
        own = dims | (MEMBER_DIMS if tensor.for_each else frozenset())
        yield from _check_shape(entry, (*where, "shape"), tensor.shape, own)
        yield from unknown_tasks(entry, (*where, "shape_for"), tensor.shape_for, around.tasks)
        for task, shape in tensor.shape_for.items():
            yield from _check_shape(entry, (*where, "shape_for", task), shape, own)
        yield from unknown(entry, (*where, "masks"), tensor.masks, family.inputs, "input")
        yield from unknown_tasks(entry, (*where, "only_for"), tensor.only_for, around.tasks)
        needed = {"random_ids": "below", "padded_mask": "masks", "span": "times"}.get(tensor.fill)
        if needed and not getattr(tensor, needed):
            message = f"fill {tensor.fill} of {name} needs the key {needed!r}"
            yield entry.source.finding((*where, "fill"), "NC305", message)
        yield from unknown(entry, (*where, "below"), tensor.bounds, dims, "dim")
        yield from unknown(entry, (*where, "times"), _given(tensor.times), dims, "dim")
        yield from unknown(entry, (*where, "pad"), pads, config_keys, "normalized-config key")
        end = _given(tensor.ends_with)
        yield from unknown(entry, (*where, "ends_with"), end, config_keys, "normalized-config key")
        if tensor.holds is not None:
            held: YamlPath = (*where, "holds")
            yield from unknown(entry, (*held, "id"), [tensor.holds.id], config_keys, "normalized-config key")
            yield from unknown(entry, (*held, "times"), [tensor.holds.times], dims, "dim")
            beside = _given(tensor.holds.beside)
            yield from unknown(entry, (*held, "beside"), beside, config_keys, "normalized-config key")


def _check_family_outputs(entry: Entry[Family], around: Surroundings) -> Iterator[Finding]:
    family = entry.document
    dims = {*family.axes, *DERIVED_DIMS, *around.config_keys}
    known = {*dims, *OPEN_SIZES, "_"}
    yield from unknown(entry, ("integer_outputs",), family.integer_outputs, family.outputs, "output")
    for name, output in family.outputs.items():
        where: YamlPath = ("outputs", name)
        if isinstance(output, PerLayer):
            yield from _check_shape(entry, (*where, "per_layer"), output.per_layer, known, end="...")
            yield from unknown(entry, (*where, "layers"), [output.layers], dims, "dim")
            yield from unknown_tasks(entry, (*where, "only_for"), output.only_for, around.tasks)
        elif isinstance(output, Repeated):
            yield from _check_shape(entry, (*where, "shape"), output.shape, known | MEMBER_DIMS, end="...")
        elif isinstance(output, Mapping):
            yield from unknown_tasks(entry, where, output, around.tasks)
            for task, shape in output.items():
                yield from _check_shape(entry, (*where, task), shape, known, end="...")
        else:
            yield from _check_shape(entry, where, output, known, end="...")


def _check_shape(
    entry: Entry[Family], where: YamlPath, shape: Iterable[str], known: set[str], end: str = ""
) -> Iterator[Finding]:
    """Check the words of a shape; `end` is what may stand at its end only."""
    words = list(shape)
    if words[-1:] == [end]:
        words.pop()
    series = MEMBER_DIMS - known
    for position, word in enumerate(words):
        if word in series:
            message = f"{word} is a size that only the members of a series have"
            yield entry.source.finding((*where, position), "NC302", message, "add for_each")
        elif word not in known:
            yield from unknown(entry, (*where, position), [word], known, "dim")


def _given(name: str | None) -> list[str]:
    return [name] if name else []
