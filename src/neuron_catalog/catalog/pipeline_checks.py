"""Checks of a pipeline: do its parts exist, and is each of their sizes bound to one of the pipeline?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from neuron_catalog.catalog.checks import check_when
from neuron_catalog.catalog.family_checks import check_axes
from neuron_catalog.catalog.loader import Entry
from neuron_catalog.catalog.names import Surroundings, renamed, taken, unknown
from neuron_catalog.catalog.selection import axes_in_use, default_of, has_default, pipeline_options
from neuron_catalog.catalog.source import YamlPath
from neuron_catalog.errors import Finding
from neuron_catalog.schema.components import NO_TASK, Component, Part, Pipeline
from neuron_catalog.schema.conditions import OptionOn, all_of
from neuron_catalog.schema.tensors import PerLayer
from neuron_catalog.schema.words import DERIVED_DIMS


def check_pipeline(entry: Entry[Pipeline], around: Surroundings) -> Iterator[Finding]:
    """Check a pipeline against its components and its normalized config."""
    pipeline = entry.document
    if entry.source.path.stem != pipeline.pipeline:
        yield renamed(entry, "pipeline", pipeline.pipeline)
    named = {"task": around.tasks, "component": around.components}
    yield from taken(entry, "pipeline", pipeline.pipeline, named)
    config = [pipeline.normalized_config]
    yield from unknown(entry, ("normalized_config",), config, around.normalized_configs, "normalized config")
    yield from check_axes(entry, pipeline.axes, around)
    for name, part in pipeline.parts.items():
        yield from _check_part(entry, name, part, around)
    aliases = around.normalized_configs.get(pipeline.normalized_config)
    if aliases is not None:  # else one typo would give many findings
        yield from _check_uses(entry, aliases)
        yield from _check_sizes(entry, aliases, around)
        yield from _check_tiny(entry, aliases, around)


def _check_part(entry: Entry[Pipeline], name: str, part: Part, around: Surroundings) -> Iterator[Finding]:
    where: YamlPath = ("parts", name)
    yield from unknown(entry, (*where, "component"), [part.component], around.components, "component")
    for other, said in entry.document.parts.items():
        if said.several and re.fullmatch(rf"{other}_\d+", name):
            message = f"there may be several {other}, and one of them would be called {name}"
            yield entry.source.finding(where, "NC310", message, "choose another name")
    if component := around.components.get(part.component):
        yield from _check_binding(entry, name, part, component, around)


def _check_binding(
    entry: Entry[Pipeline], name: str, part: Part, component: Component, around: Surroundings
) -> Iterator[Finding]:
    """Check that each size of a part is bound, and that it has the options that are asked for."""
    family = around.families[component.family]
    own = around.normalized_configs[component.normalized_config]
    where: YamlPath = ("parts", name, "bind")
    used = axes_in_use(component, family, own, NO_TASK)
    yield from unknown(entry, where, part.bind, used, f"axis of {component.component}")
    for axis in sorted(used - set(part.bind)):
        if not has_default(axis, family.axes, own):
            message = f"{component.component} has the axis {axis}, and nothing is bound to it"
            yield entry.source.finding(where, "NC304", message, "add it")
    offered = {output.option for output in family.outputs.values() if isinstance(output, PerLayer)}
    place: YamlPath = ("parts", name, "options")
    yield from unknown(entry, place, part.options, offered, f"option of {component.component}")


def _check_uses(entry: Entry[Pipeline], aliases: Mapping[str, str]) -> Iterator[Finding]:
    pipeline = entry.document
    options = pipeline_options(pipeline)
    owner: dict[str, str] = {}
    for use, told in pipeline.uses.items():
        where: YamlPath = ("uses", use)
        if told.runtime_class in owner:
            message = f"{told.runtime_class} is already the class of {owner[told.runtime_class]}"
            yield entry.source.finding((*where, "runtime_class"), "NC310", message, "name another class")
        owner[told.runtime_class] = use
        yield from check_when(entry, (*where, "when"), told.when, aliases)
        for condition in all_of(told.when):
            if isinstance(condition, OptionOn) and condition.option not in options:
                message = f"the condition never holds: no part is there for the option {condition.option}"
                fix = "remove it, or add such a part"
                yield entry.source.finding((*where, "when"), "NC306", message, fix)


def _check_sizes(
    entry: Entry[Pipeline], aliases: Mapping[str, str], around: Surroundings
) -> Iterator[Finding]:
    """Check that every size follows from axes and from configs of the pipeline's own folders."""
    pipeline = entry.document
    bound: dict[YamlPath, str] = {
        ("parts", name, "bind", axis): size
        for name, part in pipeline.parts.items()
        for axis, size in part.bind.items()
    }
    computed: dict[YamlPath, str] = {}
    for name, axis in pipeline.axes.items():
        default = default_of(axis, NO_TASK)
        if isinstance(default, str):
            computed["axes", name, "default"] = default
        if axis.multiple_of:
            computed["axes", name, "multiple_of"] = axis.multiple_of
    known = {*pipeline.axes, *aliases, *DERIVED_DIMS}
    reached = set[str]()
    for where, size in {**bound, **computed}.items():
        parts = (size,) if size in pipeline.axes else DERIVED_DIMS.get(size, (size,))
        reached.update(parts)
        if where in bound:  # check_axes does it for the others
            yield from unknown(entry, where, [size], known, "dim")
        if size in (known if where in bound else known | around.config_keys):  # else it is reported already
            yield from _check_origins(entry, where, size, parts, aliases)
    for name in pipeline.axes:
        if name not in reached:
            message = f"no part is bound to the axis {name}"
            yield entry.source.finding(("axes", name), "NC304", message, "remove it, or bind it")


def _check_origins(
    entry: Entry[Pipeline], where: YamlPath, size: str, parts: tuple[str, ...], aliases: Mapping[str, str]
) -> Iterator[Finding]:
    config = entry.document.normalized_config
    folders = _folders(entry.document)
    for key in parts:
        if key in entry.document.axes:
            continue
        if key not in aliases:
            use = "this" if key == size else size
            message = f"normalized config {config} has no {key}, needed for {use}"
            fix = "add the key or an axis of this name, or choose another dim"
            yield entry.source.finding(where, "NC313", message, fix)
        elif (folder := aliases[key].partition(".")[0]) not in folders:
            message = f"normalized config {config} reads {key} from {folder}, and no part has that folder"
            yield entry.source.finding(where, "NC313", message, "name another normalized config")


def _folders(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Return the folder of a checkpoint → the parts that are read from it → their components."""
    folders: dict[str, dict[str, str]] = {}
    for name, part in pipeline.parts.items():
        folders.setdefault(part.source or name, {})[name] = part.component
    return folders


def _check_tiny(
    entry: Entry[Pipeline], aliases: Mapping[str, str], around: Surroundings
) -> Iterator[Finding]:
    pipeline = entry.document
    folders = _folders(pipeline)
    yield from unknown(entry, ("tiny", "configs"), pipeline.tiny.configs, folders, "folder of a part")
    yield from unknown(entry, ("tiny", "axes"), pipeline.tiny.axes, pipeline.axes, "axis of this pipeline")
    for axis in pipeline.axes:
        if axis not in pipeline.tiny.axes and not has_default(axis, pipeline.axes, aliases):
            message = f"the tiny pipeline lacks a size for {axis}"
            yield entry.source.finding(("tiny", "axes"), "NC307", message, "add it")
    for folder, parts in folders.items():
        used = [around.components.get(component) for component in parts.values()]
        configs = [component.tiny.config for component in used if component]
        if folder not in pipeline.tiny.configs and any(each != configs[0] for each in configs):
            message = f"{' and '.join(parts)} are read from {folder}, and their tiny configs differ"
            fix = f"add one for {folder} under configs"
            yield entry.source.finding(("tiny",), "NC307", message, fix)
