"""Make the plan of a pipeline: choose its sizes, and bind those of each part to them.

A pipeline compiles nothing itself. It turns what a caller says of images into what its parts are compiled
for: guidance doubles the rows of a denoiser, an autoencoder divides height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.catalog.selection import pipeline_options, switches
from neuron_catalog.manifest import Plan
from neuron_catalog.plan.axes import AxisChoice, not_offered, require_bounds
from neuron_catalog.plan.conditions import hold
from neuron_catalog.plan.dims import Dims
from neuron_catalog.plan.grids import require_multiples
from neuron_catalog.plan.plan import Choices, make_component_plan
from neuron_catalog.schema.components import NO_TASK, Part, Pipeline


@dataclass(frozen=True, kw_only=True)
class PipelineChoices:
    """What the caller chose, apart from the pipeline."""

    axes: Mapping[str, int] = field(default_factory=dict)
    options: frozenset[str] = frozenset()
    atol: float | None = None


@dataclass(frozen=True)
class PipelinePlan:
    """A pipeline bound to the configs of its parts and chosen sizes."""

    pipeline: str
    axes: dict[str, int]
    options: frozenset[str]
    parts: dict[str, Plan]
    """Part → what it is compiled for, in the order of the export."""
    uses: dict[str, str]
    """How the parts can be used → the class that runs them so."""


def parts_of(pipeline: Pipeline, options: frozenset[str], several: int = 1) -> dict[str, Part]:
    """Return the parts that options ask for; of those that may be several, as many as said.

    All of a kind belong to one module of diffusers, which is their source.
    """
    unbound = Dims({}, {}, {})
    return {
        name if number == 0 else f"{name}_{number}": _numbered(name, part, number)
        for name, part in pipeline.parts.items()
        if hold(part.when, NO_TASK, options, unbound)
        for number in range(several if part.several else 1)
    }


def _numbered(name: str, part: Part, number: int) -> Part:
    return part if number == 0 else part.model_copy(update={"source": part.source or name})


def make_pipeline_plan(
    catalog: Catalog,
    name: str,
    parts: Mapping[str, Part],
    configs: Mapping[str, Any],
    choices: PipelineChoices,
) -> PipelinePlan:
    """Bind pipeline `name` to the configs of the parts that it is to have.

    Raises:
        RequestError: if a size is unknown, missing, or does not suit the configs, or if an option decides
            nothing about this pipeline.
        CatalogError: if a file of the catalog is wrong.
    """
    pipeline = catalog.pipelines[name]
    for option in sorted(choices.options - pipeline_options(pipeline)):
        raise not_offered(name, NO_TASK, option)
    said = {part.source or part_name: configs[part_name] for part_name, part in parts.items()}
    from_config = Dims({}, catalog.normalized_configs[pipeline.normalized_config], said)
    axes = AxisChoice(name, NO_TASK, pipeline.axes, from_config).of(choices.axes, set(pipeline.axes))
    dims = replace(from_config, axes=axes)
    require_multiples(name, pipeline.axes, dims)
    require_bounds(pipeline.axes, axes)
    plans = {}
    for part_name, part in parts.items():
        bound = Choices(
            axes={axis: dims.size(size) for axis, size in part.bind.items()},
            options=choices.options & switches(catalog.components[part.component]) | frozenset(part.options),
            dynamic_batch_size=part.dynamic_batch_size,
            atol=choices.atol,
        )
        plans[part_name] = make_component_plan(catalog, part.component, configs[part_name], bound)
    uses = {
        use: told.runtime_class
        for use, told in pipeline.uses.items()
        if hold(told.when, NO_TASK, choices.options, dims)
    }
    return PipelinePlan(name, axes, choices.options, plans, uses)
