"""Checks that need more than one file: does every name that is used exist, and can it be reached?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from neuron_catalog.catalog.loader import Entry
from neuron_catalog.catalog.source import YamlPath
from neuron_catalog.errors import Finding, nearest
from neuron_catalog.schema.conditions import ConfigAbove, ConfigEquals, ConfigIsSet, TaskIs, When, all_of
from neuron_catalog.schema.documents import Architecture, Family, TasksFile
from neuron_catalog.schema.tensors import ConditionalInput, PerLayer
from neuron_catalog.schema.words import DERIVED_DIMS


@dataclass(frozen=True)
class Surroundings:
    """The names that the other levels define, against which one file is checked."""

    tasks: frozenset[str]
    families: Mapping[str, Family]
    normalized_configs: Mapping[str, Mapping[str, str]]


def check_tasks(entry: Entry[TasksFile]) -> Iterator[Finding]:
    """Check that a word means one task only."""
    owner: dict[str, str] = dict.fromkeys(entry.document.tasks, "a task of its own")
    for name, task in entry.document.tasks.items():
        for position, synonym in enumerate(task.synonyms):
            if synonym in owner:
                where: YamlPath = ("tasks", name, "synonyms", position)
                message = f"{synonym!r} is already {owner[synonym]}"
                yield entry.source.finding(where, "NC310", message, "choose another synonym")
            owner[synonym] = f"a synonym of {name}"


def check_family(entry: Entry[Family], around: Surroundings) -> Iterator[Finding]:
    """Check a family by itself: axes, fills, and that each dim is known to some normalized config."""
    family, source = entry.document, entry.source
    if source.path.stem != family.family:
        yield _renamed(entry, "family", family.family)
    for name, axis in family.axes.items():
        if (axis.suggest is None) == (axis.default is None):
            message = f"axis {name} needs exactly one of suggest and default"
            yield source.finding(("axes", name), "NC311", message)
        yield from _unknown(entry, ("axes", name, "only_for"), axis.only_for, around.tasks, "task")
    known_dims = {*family.axes, *DERIVED_DIMS}.union(*around.normalized_configs.values())
    for name, tensor in family.inputs.items():
        where: YamlPath = ("inputs", name)
        yield from _unknown(entry, (*where, "shape"), tensor.shape, known_dims, "dim")
        yield from _unknown(entry, (*where, "shape_for"), tensor.shape_for, around.tasks, "task")
        for task, shape in tensor.shape_for.items():
            yield from _unknown(entry, (*where, "shape_for", task), shape, known_dims, "dim")
        yield from _unknown(entry, (*where, "masks"), tensor.masks, family.inputs, "input")
        needed = {"random_ids": "below", "padded_mask": "masks"}[tensor.fill]
        if not getattr(tensor, needed):
            message = f"fill {tensor.fill} of {name} needs the key {needed!r}"
            yield source.finding((*where, "fill"), "NC305", message)
        if tensor.below is not None:
            yield from _unknown(entry, (*where, "below"), [tensor.below], known_dims, "dim")
    for name, output in family.outputs.items():
        where = ("outputs", name)
        dims = known_dims | {"_"}
        if isinstance(output, PerLayer):
            yield from _unknown(entry, (*where, "per_layer"), output.per_layer, dims, "dim")
            yield from _unknown(entry, (*where, "layers"), [output.layers], known_dims, "dim")
            yield from _unknown(entry, (*where, "only_for"), output.only_for, around.tasks, "task")
        elif isinstance(output, Mapping):
            yield from _unknown(entry, where, output, around.tasks, "task")
            for task, shape in output.items():
                yield from _unknown(entry, (*where, task), shape, dims, "dim")
        else:
            yield from _unknown(entry, where, output, dims, "dim")


def check_architecture(entry: Entry[Architecture], around: Surroundings) -> Iterator[Finding]:
    """Check an architecture against its family, its normalized config and the tasks."""
    architecture, source = entry.document, entry.source
    if source.path.stem != architecture.architecture:
        yield _renamed(entry, "architecture", architecture.architecture)
    for key, known in (
        ("family", around.families),
        ("normalized_config", around.normalized_configs),
    ):
        yield from _unknown(entry, (key,), [getattr(architecture, key)], known, key.replace("_", " "))
    for package, bound in architecture.requires.items():
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            SpecifierSet(bound.version)
        except InvalidSpecifier:
            message = f"{bound.version!r} is no version bound"
            fix = 'write it as pip does: ">=5.9"'
            yield source.finding(("requires", package, "version"), "NC309", message, fix)
    family = around.families.get(architecture.family)
    aliases = around.normalized_configs.get(architecture.normalized_config)
    if family is not None and aliases is not None:
        yield from _check_tasks_and_outputs(entry, family, around)
        yield from _check_inputs(entry, family, aliases)
        yield from _check_axes(entry, family, aliases)
        yield from _check_promises(entry, family)


def _check_tasks_and_outputs(
    entry: Entry[Architecture], family: Family, around: Surroundings
) -> Iterator[Finding]:
    selectable = {name for name, out in family.outputs.items() if not isinstance(out, PerLayer)}
    yield from _unknown(entry, ("tasks",), entry.document.tasks, around.tasks, "task")
    for task, outputs in entry.document.tasks.items():
        where: YamlPath = ("tasks", task)
        yield from _unknown(entry, where, outputs, selectable, "output")
        for position, name in enumerate(outputs):
            output = family.outputs.get(name)
            if isinstance(output, Mapping) and task not in output:
                message = f"family {family.family} gives {name} no shape for {task}"
                fix = f"it has shapes for: {', '.join(sorted(output))}"
                yield entry.source.finding((*where, position), "NC303", message, fix)


def _check_inputs(
    entry: Entry[Architecture], family: Family, aliases: Mapping[str, str]
) -> Iterator[Finding]:
    for position, use in enumerate(entry.document.inputs):
        where: YamlPath = ("inputs", position)
        name = use.name if isinstance(use, ConditionalInput) else use
        yield from _unknown(entry, where, [name], family.inputs, "input")
        if isinstance(use, ConditionalInput):
            yield from _check_when(entry, (*where, "when"), use.when, aliases)


def _check_axes(entry: Entry[Architecture], family: Family, aliases: Mapping[str, str]) -> Iterator[Finding]:
    architecture, source = entry.document, entry.source
    yield from _unknown(entry, ("mandatory_axes",), architecture.mandatory_axes, family.axes, "axis")
    used = axes_in_use(architecture, family)
    for position, name in enumerate(architecture.mandatory_axes):
        if name in family.axes and name not in used:
            message = f"no task of {architecture.architecture} has the axis {name}"
            yield source.finding(("mandatory_axes", position), "NC304", message, "remove it")
    for name in sorted(used - set(architecture.mandatory_axes)):
        if family.axes[name].default is None:
            message = f"axis {name} is used and has no default, but is not listed"
            yield source.finding(("mandatory_axes",), "NC304", message, "add it")
    tiny = ("tiny", "axes")
    yield from _unknown(entry, tiny, architecture.tiny.axes, used, "axis of this architecture")
    for name in sorted(used & set(architecture.mandatory_axes) - set(architecture.tiny.axes)):
        yield source.finding(tiny, "NC307", f"the tiny model lacks a size for {name}", "add it")
    known = {*aliases, *DERIVED_DIMS}
    for position, limit in enumerate(architecture.limits):
        where: YamlPath = ("limits", position)
        yield from _unknown(entry, (*where, "axis"), [limit.axis], used, "axis of this architecture")
        yield from _unknown(entry, (*where, "at_most"), [limit.at_most], known, "dim")


def _check_promises(entry: Entry[Architecture], family: Family) -> Iterator[Finding]:
    architecture, source = entry.document, entry.source
    looser = architecture.atol is not None and architecture.atol > family.atol
    if looser and architecture.atol_reason is None:
        message = f"atol is looser than the family's {family.atol}"
        yield source.finding(("atol",), "NC308", message, "add atol_reason with the measured difference")
    for position, deviation in enumerate(architecture.deviations):
        where: YamlPath = ("deviations", position, "tasks")
        yield from _unknown(entry, where, deviation.tasks, architecture.tasks, "task of this architecture")


def _check_when(
    entry: Entry[Architecture], where: YamlPath, when: When | None, aliases: Mapping[str, str]
) -> Iterator[Finding]:
    tasks = entry.document.tasks
    for condition in all_of(when):
        if isinstance(condition, TaskIs):
            if condition.task not in tasks:
                message = f"the condition never holds: there is no task {condition.task} here"
                yield entry.source.finding(where, "NC306", message, nearest(condition.task, tasks))
            elif len(tasks) == 1:
                message = f"the condition always holds: {condition.task} is the only task"
                yield entry.source.finding(where, "NC306", message, "remove it")
        elif isinstance(condition, (ConfigEquals, ConfigAbove, ConfigIsSet)):
            kind = f"key of normalized config {entry.document.normalized_config}"
            yield from _unknown(entry, where, [condition.config], aliases, kind)


def axes_in_use(architecture: Architecture, family: Family, task: str | None = None) -> set[str]:
    """Return the axes that the selected inputs have in `task`, or in any task."""
    tasks = [task] if task else list(architecture.tasks)
    names = {use.name if isinstance(use, ConditionalInput) else use for use in architecture.inputs}
    return {
        dim
        for name in names & set(family.inputs)
        for each in tasks
        for dim in family.inputs[name].shape_for.get(each, family.inputs[name].shape)
        if dim in family.axes and (not family.axes[dim].only_for or each in family.axes[dim].only_for)
    }


def _renamed(entry: Entry[Architecture] | Entry[Family], key: str, name: str) -> Finding:
    fix = f"name the file {name}.yaml"
    return entry.source.finding((key,), "NC301", f"the file name differs from {name!r}", fix)


def _unknown(
    entry: Entry[TasksFile] | Entry[Family] | Entry[Architecture],
    where: YamlPath,
    names: Iterable[str],
    known: Iterable[str],
    kind: str,
) -> Iterator[Finding]:
    """Yield a finding for each name that is not known, at its own line if it has one."""
    allowed = set(known)
    for position, name in enumerate(names):
        if name not in allowed:
            step = name if (*where, name) in entry.source.marks else position
            message = f"unknown {kind} {name!r}"
            yield entry.source.finding((*where, step), "NC302", message, nearest(name, allowed))
