"""Checks of tasks and architectures: does every name that is used exist, and can it be reached?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from neuron_catalog.catalog.loader import Entry
from neuron_catalog.catalog.names import (
    TASKLESS,
    Surroundings,
    named_after,
    renamed,
    taken,
    unknown,
    unknown_tasks,
)
from neuron_catalog.catalog.selection import axes_in_use, dims_of_constant, has_default
from neuron_catalog.catalog.source import YamlPath
from neuron_catalog.errors import Finding, nearest
from neuron_catalog.schema.components import Component, Pipeline
from neuron_catalog.schema.conditions import ConfigAbove, ConfigEquals, ConfigIsSet, TaskIs, When, all_of
from neuron_catalog.schema.documents import Architecture, Family, TasksFile
from neuron_catalog.schema.tensors import ConditionalInput, PerLayer, shape_of
from neuron_catalog.schema.words import ARGUMENTS, DERIVED_DIMS, MEMBER_DIMS, OPEN_SIZES, SERIES


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


def check_architecture(entry: Entry[Architecture], around: Surroundings) -> Iterator[Finding]:
    """Check an architecture against its family, its normalized config and the tasks."""
    name = entry.document.architecture
    if entry.source.path.stem != name:
        yield renamed(entry, "architecture", name)
    named = {"component": around.components, "pipeline": around.pipelines}
    yield from taken(entry, "architecture", name, named)
    yield from _check_library(entry, around)
    yield from _check_selection(entry, around)


def check_component(entry: Entry[Component], around: Surroundings) -> Iterator[Finding]:
    """Check a component against its family and its normalized config."""
    name = entry.document.component
    if entry.source.path.stem != name:
        yield renamed(entry, "component", name)
    yield from taken(entry, "component", name, {"task": around.tasks})
    yield from _check_selection(entry, around)


def _check_selection(entry: Selected, around: Surroundings) -> Iterator[Finding]:
    architecture, source = entry.document, entry.source
    for key, known in (
        ("family", around.families),
        ("normalized_config", around.normalized_configs),
    ):
        yield from unknown(entry, (key,), [getattr(architecture, key)], known, key.replace("_", " "))
    for package, bound in architecture.requires.items():
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            SpecifierSet(bound.version)
        except InvalidSpecifier:
            message = f"{bound.version!r} is no version bound"
            fix = 'write it as pip does: ">=5.9"'
            yield source.finding(("requires", package, "version"), "NC309", message, fix)
        concerned: YamlPath = ("requires", package, "tasks")
        yield from unknown_tasks(entry, concerned, bound.tasks, architecture.tasks, OWN_TASK)
    yield from _listed_twice(entry)
    family = around.families.get(architecture.family)
    if family is not None and family.for_components != isinstance(architecture, Component):
        message = (
            f"family {family.family} is for {'components' if family.for_components else 'architectures'}"
        )
        yield source.finding(("family",), "NC314", message, "name another one")
        return
    aliases = around.normalized_configs.get(architecture.normalized_config)
    if family is not None and aliases is not None:
        names = [
            *_check_tasks_and_outputs(entry, family, around),
            *_check_inputs(entry, family, aliases),
            *_check_dims(entry, family, aliases),
        ]
        yield from names
        if not names:  # else the axes in use are not known, and one typo would give many findings
            yield from _check_axes(entry, family, aliases)
        yield from _check_promises(entry, family)


Selected = Entry[Architecture] | Entry[Component]

OWN_TASK = "task of this architecture"


def _place(task: str) -> YamlPath:
    """Return where the outputs of a task stand; a component has no task."""
    return ("tasks", task) if task else ("outputs",)


def _origins(series: str | None) -> tuple[str, ...]:
    """Return the sizes that those of a series' members are computed from."""
    return SERIES[series][0] if series else ()


def _check_library(entry: Entry[Architecture], around: Surroundings) -> Iterator[Finding]:
    """An architecture of another library is named after it, and tasks of a library stay within it."""
    name, library = entry.document.architecture, entry.document.library
    prefix = named_after(library)
    if library != "transformers" and name != prefix and not name.startswith(f"{prefix}-"):
        message = f"an architecture of {library} is found by its name, which {name!r} is not"
        fix = f"name it {prefix}, or {prefix}-<model type> if it serves one model type only"
        yield entry.source.finding(("architecture",), "NC314", message, fix)
    for task in entry.document.tasks:
        owner = around.tasks[task].library if task in around.tasks else library
        if owner not in ("transformers", library):
            message = f"{task} is a task of {owner}, and this architecture is of {library}"
            yield entry.source.finding(
                ("tasks", task), "NC314", message, f"remove it, or add library: {owner}"
            )


def _check_tasks_and_outputs(entry: Selected, family: Family, around: Surroundings) -> Iterator[Finding]:
    if isinstance(entry.document, Architecture):
        yield from unknown(entry, ("tasks",), entry.document.tasks, around.tasks, "task")
    for task, outputs in entry.document.tasks.items():
        where = _place(task)
        yield from unknown(entry, where, outputs, family.outputs, "output")
        for position, name in enumerate(outputs):
            output = family.outputs.get(name)
            if isinstance(output, PerLayer):
                message = f"{name} is given for --{output.option} and cannot be selected"
                yield entry.source.finding((*where, position), "NC303", message, "remove it")
            if isinstance(output, Mapping) and task not in output and (task in around.tasks or not task):
                message = f"family {family.family} gives {name} no shape for {task or 'a component'}"
                fix = f"it has shapes for: {', '.join(sorted(output))}"
                yield entry.source.finding((*where, position), "NC303", message, fix)


def _check_inputs(entry: Selected, family: Family, aliases: Mapping[str, str]) -> Iterator[Finding]:
    for position, use in enumerate(entry.document.inputs):
        where: YamlPath = ("inputs", position)
        name = use.name if isinstance(use, ConditionalInput) else use
        yield from unknown(entry, where, [name], family.inputs, "input")
        if isinstance(use, ConditionalInput):
            yield from check_when(entry, (*where, "when"), use.when, aliases, entry.document.tasks)
    yield from unknown(entry, ("constants",), entry.document.constants, family.constants, "constant")


def _check_dims(entry: Selected, family: Family, aliases: Mapping[str, str]) -> Iterator[Finding]:
    """Check that the normalized config knows every size that the selected tensors need."""
    architecture = entry.document
    known = {*family.axes, *aliases, *OPEN_SIZES, *MEMBER_DIMS, "_", "..."}
    needed: dict[YamlPath, Iterable[str]] = {}
    for position, use in enumerate(architecture.inputs):
        name = use.name if isinstance(use, ConditionalInput) else use
        if tensor := family.inputs.get(name):
            needed["inputs", position] = [*tensor.shape, *tensor.bounds, *_origins(tensor.for_each)]
    for task, outputs in architecture.tasks.items():
        for position, name in enumerate(outputs):
            needed[*_place(task), position] = shape_of(family.outputs.get(name, ()), task) or ()
    for position, name in enumerate(architecture.constants):
        if constant := family.constants.get(name):
            needed["constants", position] = dims_of_constant(constant)
    for where, dims in needed.items():
        for dim in dims:
            lacking = [key for key in DERIVED_DIMS.get(dim, (dim,)) if not {key, dim} & known]
            for key in lacking:
                message = f"normalized config {architecture.normalized_config} has no {key}, needed for this"
                fix = "add the key, or name another normalized config"
                yield entry.source.finding(where, "NC313", message, fix)


def _listed_twice(entry: Selected) -> Iterator[Finding]:
    """A list says what there is; saying it twice is a slip."""
    architecture = entry.document
    inputs = [use.name if isinstance(use, ConditionalInput) else use for use in architecture.inputs]
    lists: dict[YamlPath, Iterable[str]] = {
        ("inputs",): inputs,
        ("constants",): architecture.constants,
        ("mandatory_axes",): architecture.mandatory_axes,
        ("limits",): [limit.axis for limit in architecture.limits],
        **{_place(task): outputs for task, outputs in architecture.tasks.items()},
    }
    for where, names in lists.items():
        seen: set[str] = set()
        for position, name in enumerate(names):
            if name in seen:
                yield entry.source.finding((*where, position), "NC312", f"{name} is listed twice", "keep one")
            seen.add(name)


def _check_axes(entry: Selected, family: Family, aliases: Mapping[str, str]) -> Iterator[Finding]:
    architecture, source = entry.document, entry.source
    yield from unknown(entry, ("mandatory_axes",), architecture.mandatory_axes, family.axes, "axis")
    used = axes_in_use(architecture, family, aliases)
    for position, name in enumerate(architecture.mandatory_axes):
        if name in family.axes and name not in used:
            what = "no task of " if isinstance(architecture, Architecture) else "no tensor of "
            message = f"{what}{architecture.name} has the axis {name}"
            yield source.finding(("mandatory_axes", position), "NC304", message, "remove it")
    misspelt = set(architecture.mandatory_axes) - set(family.axes)
    for name in sorted(used - set(architecture.mandatory_axes)):
        tasks = (t for t in architecture.tasks if name in axes_in_use(architecture, family, aliases, t))
        known_default = all(has_default(name, family.axes, aliases, task) for task in tasks)
        if not known_default and not nearest(name, misspelt).startswith("did"):
            message = f"axis {name} is used and has no default, but is not listed"
            yield source.finding(("mandatory_axes",), "NC304", message, "add it")
    tiny = ("tiny", "axes")
    own = f"axis of this {'architecture' if isinstance(architecture, Architecture) else 'component'}"
    yield from unknown(entry, tiny, architecture.tiny.axes, used, own)
    for name in sorted(used & set(architecture.mandatory_axes) - set(architecture.tiny.axes)):
        yield source.finding(tiny, "NC307", f"the tiny model lacks a size for {name}", "add it")
    known = {*aliases, *DERIVED_DIMS}
    for position, limit in enumerate(architecture.limits):
        where: YamlPath = ("limits", position)
        yield from unknown(entry, (*where, "axis"), [limit.axis], used, own)
        bounds = {key: getattr(limit, key) for key in ("at_most", "exactly") if getattr(limit, key)}
        if len(bounds) != 1:
            message = "a limit needs exactly one of at_most and exactly"
            yield source.finding(where, "NC311", message, "remove one" if bounds else "add one")
        for key, dim in bounds.items():
            yield from unknown(entry, (*where, key), [dim], known, "dim")


def _check_promises(entry: Selected, family: Family) -> Iterator[Finding]:
    architecture, source = entry.document, entry.source
    looser = architecture.atol is not None and architecture.atol > family.atol
    if looser and architecture.atol_reason is None:
        message = f"atol is looser than the family's {family.atol}"
        yield source.finding(("atol",), "NC308", message, "add atol_reason with the measured difference")
    if isinstance(architecture, Architecture):
        for key in ("model_classes", "wrappers"):
            yield from unknown(entry, (key,), getattr(architecture, key), architecture.tasks, OWN_TASK)
    for position, deviation in enumerate(architecture.deviations):
        where: YamlPath = ("deviations", position, "tasks")
        yield from unknown_tasks(entry, where, deviation.tasks, architecture.tasks, OWN_TASK)


def check_when(
    entry: Selected | Entry[Pipeline],
    where: YamlPath,
    when: When | None,
    aliases: Mapping[str, str],
    tasks: Collection[str] = (),
) -> Iterator[Finding]:
    """Check that a condition can hold, and that the config has what it asks for."""
    named = sorted({condition.task for condition in all_of(when) if isinstance(condition, TaskIs)})
    if len(named) > 1:
        message = f"the condition never holds: a task is not both {' and '.join(named)}"
        yield entry.source.finding(where, "NC306", message, "a list means AND; keep one")
        return
    outer = where
    for position, condition in enumerate(all_of(when)):
        where = (*outer, position) if isinstance(when, tuple) else outer
        if isinstance(condition, TaskIs):
            if condition.task not in tasks:
                message = f"the condition never holds: there is no task {condition.task} here"
                fix = nearest(condition.task, tasks) if any(tasks) else TASKLESS
                yield entry.source.finding(where, "NC306", message, fix)
            elif len(tasks) == 1:
                message = f"the condition always holds: {condition.task} is the only task"
                yield entry.source.finding(where, "NC306", message, "remove it")
        elif isinstance(condition, (ConfigEquals, ConfigAbove, ConfigIsSet)):
            kind = f"key of normalized config {entry.document.normalized_config}"
            yield from unknown(entry, where, [condition.config], aliases, kind)
        elif isinstance(entry.document, Architecture):
            yield from unknown(entry, where, [condition.option], ARGUMENTS, "option of an architecture")
