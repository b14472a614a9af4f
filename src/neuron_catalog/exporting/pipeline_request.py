"""What the caller asks for when he exports a pipeline, and what it resolves to. No weight is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import RequestError, UsageError, nearest
from neuron_catalog.exporting.request import Resolved, backend_for
from neuron_catalog.models.adapter_weights import AdapterWeights, read_adapter
from neuron_catalog.models.adapters import Adapter
from neuron_catalog.models.components import PartSource, class_of, diffusers, empty_component
from neuron_catalog.models.lora import require_fitting
from neuron_catalog.models.pipeline_sources import (
    CheckpointPipelineSource,
    PipelineSource,
    TinyPipelineSource,
    require_part,
)
from neuron_catalog.models.sources import HubAccess
from neuron_catalog.plan.pipeline import PipelineChoices, PipelinePlan, make_pipeline_plan, parts_of
from neuron_catalog.schema.components import Part, Pipeline

CONTROLNET = "controlnet"
"""The option, and the part, that a picture steers."""

UNET = "unet"
"""The option, and the part, that another denoiser can be given for."""

TINY = "tiny"
"""What is written for a ControlNet with random weights."""


@dataclass(frozen=True, kw_only=True)
class PipelineRequest:
    """Everything that can be said about the export of a pipeline.

    Without `model` the pipeline's tiny version is exported, with sizes of its own.
    """

    pipeline: str | None = None
    """Inferred from the model when absent."""
    model: str | None = None
    """A folder, or an id of the Hugging Face hub."""
    out: Path | None = None
    """The target folder; `<model>-<pipeline>-neuron` in the current one when absent."""
    axes: Mapping[str, int] = field(default_factory=dict)
    """`height`, `width`, `num_images_per_prompt`, …"""
    unet: str | None = None
    """A folder or repository with another denoiser."""
    controlnets: tuple[str, ...] = ()
    """Folders or repositories of ControlNets. For the tiny version the word `tiny` asks for one."""
    adapters: tuple[Adapter, ...] = ()
    """LoRA adapters to merge into the weights."""
    atol: float | None = None
    validation: bool = True
    backend: str | None = None
    seed: int = 0
    overwrite: bool = False
    compiler: Mapping[str, JsonValue] = field(default_factory=dict)
    revision: str | None = None
    token: str | None = None
    cache_dir: str | None = None
    use_cache: bool = True
    """Whether parts that were made before are taken from the compile cache, and new ones kept there."""

    @property
    def others(self) -> dict[str, str]:
        """Part → the folder or repository that it is read from instead of the checkpoint."""
        found = {UNET: self.unet} if self.unet else {}
        for number, model in enumerate(self.controlnets):
            found[CONTROLNET if number == 0 else f"{CONTROLNET}_{number}"] = model
        return found

    @property
    def hub(self) -> HubAccess:
        """How repositories are read."""
        return HubAccess(revision=self.revision, token=self.token, cache_dir=self.cache_dir)


@dataclass(frozen=True)
class ResolvedPart:
    """One part, ready to be exported."""

    part: Part
    source: PartSource
    resolved: Resolved


@dataclass(frozen=True)
class ResolvedPipeline:
    """A request with every question answered."""

    request: PipelineRequest
    plan: PipelinePlan
    source: PipelineSource
    parts: dict[str, ResolvedPart]
    """In the order of the export."""
    adapters: tuple[AdapterWeights, ...]
    backend_name: str


def resolve_pipeline(request: PipelineRequest, catalog: Catalog) -> ResolvedPipeline:
    """Answer what pipeline, parts, sizes and backend are meant.

    Raises:
        UsageError: if neither pipeline nor model was given.
        RequirementError: if diffusers, or peft for an adapter, is not installed.
        RequestError: if anything asked for does not exist or does not fit together.
        CatalogError: if a file of the catalog is wrong.
    """
    backend_name, backend = backend_for(request.backend, request.compiler)
    diffusers("A diffusion pipeline")
    name, source, adapters = _source(request, catalog)
    pipeline = catalog.pipelines[name]
    options = frozenset({CONTROLNET} if request.controlnets else ())
    _require_controllable(name, pipeline, options)
    if request.unet and UNET not in pipeline.parts:
        raise RequestError(f"{name} has no part {UNET}.", "Leave --unet out.")
    wanted = parts_of(pipeline, options, len(request.controlnets) or 1)
    parts = {each: part for each, part in wanted.items() if require_part(source, each, part)}
    sources = {
        each: source.part(each, part, catalog.components[part.component]) for each, part in parts.items()
    }
    choices = PipelineChoices(axes=_sizes(request, pipeline), options=options, atol=request.atol)
    configs = {each: one.config() for each, one in sources.items()}
    plan = make_pipeline_plan(catalog, name, parts, configs, choices)
    _require_fitting(adapters, sources)
    resolved = {
        each: ResolvedPart(
            part,
            sources[each],
            Resolved(
                (plan.parts[each],), sources[each], backend_name, backend, request.seed, request.compiler
            ),
        )
        for each, part in parts.items()
    }
    return ResolvedPipeline(request, plan, source, resolved, adapters, backend_name)


def _source(
    request: PipelineRequest, catalog: Catalog
) -> tuple[str, PipelineSource, tuple[AdapterWeights, ...]]:
    if request.model is None:
        return _tiny(request, catalog)
    access: dict[str, Any] = {
        "revision": request.revision,
        "token": request.token,
        "cache_dir": request.cache_dir,
    }
    source = CheckpointPipelineSource(model=request.model, seed=request.seed, others=request.others, **access)
    said = str(source.index["_class_name"])
    name = request.pipeline or _pipeline_of(said, catalog)
    classes = [use.pipeline_class for use in pipeline_named(name, catalog).uses.values()]
    if said not in classes:
        raise RequestError(
            f"{request.model} is a {said}, and {name} is one of: {', '.join(classes)}.",
            "Leave --task out to have it told from the checkpoint.",
        )
    built = class_of("diffusers", classes[0], name)
    unet = _unet_config(source, name, catalog) if request.adapters else None
    adapters = tuple(read_adapter(adapter, built, request.hub, unet) for adapter in request.adapters)
    return name, replace(source, adapters=adapters), adapters


def _tiny(
    request: PipelineRequest, catalog: Catalog
) -> tuple[str, PipelineSource, tuple[AdapterWeights, ...]]:
    if request.pipeline is None:
        raise UsageError(
            "Nothing to export: neither a pipeline nor --model was given.",
            "Try: neuron-catalog export --task stable-diffusion",
        )
    if request.unet or request.adapters:
        raise UsageError(
            "The tiny pipeline has seeded random weights: no other parts and adapters suit it.",
            "Add --model, or leave --unet and --lora_model_ids out.",
        )
    if strangers := [model for model in request.controlnets if model != TINY]:
        raise UsageError(
            f"The tiny pipeline has seeded random weights: the ControlNet {strangers[0]} does not suit it.",
            f"Add --model, or write --controlnet_ids {TINY} for one with random weights.",
        )
    return (
        request.pipeline,
        TinyPipelineSource(pipeline=pipeline_named(request.pipeline, catalog), seed=request.seed),
        (),
    )


def pipeline_named(name: str, catalog: Catalog) -> Pipeline:
    """Return a pipeline of the catalog.

    Raises:
        RequestError: if there is none of this name.
    """
    if name not in catalog.pipelines:
        raise RequestError(
            f"The catalog has no pipeline {name!r}; {nearest(name, catalog.pipelines)}",
            "`neuron-catalog list` shows all.",
        )
    return catalog.pipelines[name]


def _pipeline_of(class_name: str, catalog: Catalog) -> str:
    for name, pipeline in catalog.pipelines.items():
        if class_name in (use.pipeline_class for use in pipeline.uses.values()):
            return name
    served = sorted({use.pipeline_class for each in catalog.pipelines.values() for use in each.uses.values()})
    raise RequestError(
        f"No pipeline of the catalog is a {class_name}; {nearest(class_name, served)}",
        "`neuron-catalog list` shows all.",
    )


def _require_controllable(name: str, pipeline: Pipeline, options: frozenset[str]) -> None:
    if options and len(parts_of(pipeline, options)) == len(parts_of(pipeline, frozenset())):
        raise RequestError(f"{name} has no part for a ControlNet.", "Leave --controlnet_ids out.")


def _sizes(request: PipelineRequest, pipeline: Pipeline) -> Mapping[str, int]:
    """The tiny pipeline brings sizes of its own."""
    return {**pipeline.tiny.axes, **request.axes} if request.model is None else request.axes


def _unet_config(source: CheckpointPipelineSource, name: str, catalog: Catalog) -> Any:
    """Return the config of the U-Net, by which the blocks of some adapters are numbered."""
    part = catalog.pipelines[name].parts.get(UNET)
    if part is None:
        return None
    config = source.part(UNET, part, catalog.components[part.component]).config()
    return diffusers("An adapter").configuration_utils.FrozenDict(config)


def _require_fitting(adapters: tuple[AdapterWeights, ...], sources: Mapping[str, PartSource]) -> None:
    if not adapters:
        return
    changed = {part for weights in adapters for part in weights.parts}
    empty = {
        name: empty_component(source.component, source.raw_config)
        for name, source in sources.items()
        if name in changed and source.kind == "checkpoint"
    }
    require_fitting(adapters, empty)
