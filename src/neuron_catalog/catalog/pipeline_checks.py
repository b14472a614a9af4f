"""Checks of a pipeline: do its parts exist, and is each of their sizes bound to one of the pipeline?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from neuron_catalog.catalog.checks import check_when
from neuron_catalog.catalog.family_checks import check_axes
from neuron_catalog.catalog.loader import Entry
from neuron_catalog.catalog.names import Surroundings, renamed, unknown
from neuron_catalog.catalog.selection import axes_in_use, has_default
from neuron_catalog.catalog.source import YamlPath
from neuron_catalog.errors import Finding
from neuron_catalog.schema.components import NO_TASK, Component, Part, Pipeline
from neuron_catalog.schema.words import DERIVED_DIMS


def check_pipeline(entry: Entry[Pipeline], around: Surroundings) -> Iterator[Finding]:
    """Check a pipeline against its components and its normalized config."""
    pipeline, source = entry.document, entry.source
    if source.path.stem != pipeline.pipeline:
        yield renamed(entry, "pipeline", pipeline.pipeline)
    if pipeline.pipeline in around.tasks:
        message = f"{pipeline.pipeline} is a task already"
        yield source.finding(("pipeline",), "NC310", message, "choose another name")
    named = [pipeline.normalized_config]
    yield from unknown(entry, ("normalized_config",), named, around.normalized_configs, "normalized config")
    yield from check_axes(entry, pipeline.axes, around)
    aliases = around.normalized_configs.get(pipeline.normalized_config, {})
    for name, part in pipeline.parts.items():
        where: YamlPath = ("parts", name)
        yield from unknown(entry, (*where, "component"), [part.component], around.components, "component")
        yield from check_when(entry, (*where, "when"), part.when, aliases)
        component = around.components.get(part.component)
        if component is not None:
            yield from _check_binding(entry, (*where, "bind"), part, component, around)
    for use, told in pipeline.uses.items():
        yield from check_when(entry, ("uses", use, "when"), told.when, aliases)
    yield from _check_tiny(entry, aliases)


def _check_binding(
    entry: Entry[Pipeline], where: YamlPath, part: Part, component: Component, around: Surroundings
) -> Iterator[Finding]:
    family = around.families.get(component.family)
    own = around.normalized_configs.get(component.normalized_config)
    if family is None or own is None:
        return  # the component's file is wrong, and says so itself
    used = axes_in_use(component, family, own, NO_TASK)
    yield from unknown(entry, where, part.bind, used, f"axis of {component.component}")
    for axis in sorted(used - set(part.bind)):
        if not has_default(axis, family.axes, own):
            message = f"{component.component} has the axis {axis}, and nothing is bound to it"
            yield entry.source.finding(where, "NC304", message, "add it")
    known = {*entry.document.axes, *around.normalized_configs.get(entry.document.normalized_config, {})}
    for axis, size in part.bind.items():
        yield from unknown(entry, (*where, axis), [size], known | set(DERIVED_DIMS), "dim")
        for lacking in set(DERIVED_DIMS.get(size, ())) - known - {size}:
            message = f"{size} follows from {lacking}, which neither axes nor normalized config give"
            yield entry.source.finding((*where, axis), "NC313", message, "add it there")


def _check_tiny(entry: Entry[Pipeline], aliases: Mapping[str, str]) -> Iterator[Finding]:
    pipeline = entry.document
    folders = {part.source or name for name, part in pipeline.parts.items()}
    yield from unknown(entry, ("tiny", "configs"), pipeline.tiny.configs, folders, "folder of a part")
    yield from unknown(entry, ("tiny", "axes"), pipeline.tiny.axes, pipeline.axes, "axis of this pipeline")
    for axis in pipeline.axes:
        if axis not in pipeline.tiny.axes and not has_default(axis, pipeline.axes, aliases):
            message = f"the tiny pipeline lacks a size for {axis}"
            yield entry.source.finding(("tiny", "axes"), "NC307", message, "add it")
