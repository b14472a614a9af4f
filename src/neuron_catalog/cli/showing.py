"""Everything the catalog says about one name, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neuron_catalog.catalog.index import Catalog
    from neuron_catalog.schema.components import Selection


def shown(catalog: Catalog, name: str) -> dict[str, Any]:
    """Return all about an architecture, a component or a pipeline.

    Raises:
        RequestError: if the catalog has nothing of this name.
        CatalogError: if its file, or one that it refers to, is wrong.
    """
    if name in catalog.pipelines:
        return _pipeline(catalog, name)
    if name in catalog.components:
        return _component(catalog, name)
    return _architecture(catalog, name)


def _architecture(catalog: Catalog, name: str) -> dict[str, Any]:
    found = catalog.get(name)
    tiers = catalog.tiers(name)
    tasks = {
        task: {
            "inputs": list(catalog.inputs(name, task)),
            "outputs": list(outputs),
            "model_class": catalog.model_class(name, task),
            "runtime_class": catalog.tasks[task].runtime_class,
            "mandatory_axes": list(catalog.mandatory_axes(name, task)),
            "tier": tiers[task],
            "evidence": _evidence(catalog, name, task),
        }
        for task, outputs in found.tasks.items()
    }
    selected = dict.fromkeys(each for task in found.tasks for each in catalog.inputs(name, task))
    axes = dict.fromkeys(axis for task in found.tasks for axis in catalog.axes(name, task))
    return _selection(catalog, found, {"tasks": tasks}, axes, selected)


def _component(catalog: Catalog, name: str) -> dict[str, Any]:
    from neuron_catalog.catalog.selection import axes_in_use, selected_inputs
    from neuron_catalog.schema.components import NO_TASK

    found = catalog.components[name]
    family = catalog.families[found.family]
    used = axes_in_use(found, family, catalog.normalized_configs[found.normalized_config])
    proved = {"tier": catalog.tiers(name)[NO_TASK], "evidence": _evidence(catalog, name, NO_TASK)}
    axes = [axis for axis in family.axes if axis in used]
    return _selection(catalog, found, proved, axes, selected_inputs(found, family, NO_TASK))


def _selection(
    catalog: Catalog, found: Selection, more: dict[str, Any], axes: Iterable[str], inputs: Iterable[str]
) -> dict[str, Any]:
    family = catalog.families[found.family]
    return {
        "file": str(catalog.file_of(found.name)),
        **found.model_dump(mode="json", exclude_defaults=True),
        "atol": found.atol or family.atol,
        **more,
        "axes": {n: family.axes[n].model_dump(mode="json", exclude_defaults=True) for n in axes},
        "input_definitions": {
            n: family.inputs[n].model_dump(mode="json", exclude_defaults=True) for n in inputs
        },
        "config_paths": dict(catalog.normalized_configs[found.normalized_config]),
    }


def _pipeline(catalog: Catalog, name: str) -> dict[str, Any]:
    found, tiers = catalog.pipelines[name], catalog.tiers(name)
    told = found.model_dump(mode="json", exclude_defaults=True)
    uses = {
        use: {**said, "tier": tiers[use], "evidence": _evidence(catalog, name, use)}
        for use, said in told["uses"].items()
    }
    return {
        "file": str(catalog.file_of(name)),
        **told,
        "uses": uses,
        "config_paths": dict(catalog.normalized_configs[found.normalized_config]),
    }


def _evidence(catalog: Catalog, name: str, task: str) -> list[dict[str, str]]:
    runs = (run for run in catalog.evidence(name) if run.task == task)
    return [{"backend": run.backend, "date": run.date, **run.versions} for run in runs]
