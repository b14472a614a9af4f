"""Prove a pipeline: export its tiny version, hold each part to its checks, and compare the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.composition import Composition
from neuron_catalog.exporting.pipeline import export_resolved_pipeline
from neuron_catalog.exporting.pipeline_request import (
    CONTROLNET,
    TINY,
    PipelineRequest,
    ResolvedPipeline,
    resolve_pipeline,
)
from neuron_catalog.exporting.revalidate import require_same_weights, validate_model_outputs
from neuron_catalog.exporting.validator import require_passed
from neuron_catalog.manifest import Check, Manifest
from neuron_catalog.models.adapters import Adapter
from neuron_catalog.models.components import TinyComponentSource
from neuron_catalog.proving.images import Eager, check_images
from neuron_catalog.schema.components import Use
from neuron_catalog.schema.conditions import OptionOn, all_of


def tiny_request(use: Use, name: str, out: Path, **fields: Any) -> PipelineRequest:
    """Ask for the tiny version of a pipeline with the parts that a use needs; `fields` are the request's."""
    options = {each.option for each in all_of(use.when) if isinstance(each, OptionOn)}
    controlnets = (TINY,) if CONTROLNET in options else ()
    return PipelineRequest(pipeline=name, out=out, controlnets=controlnets, **fields)


def check_pipeline(catalog: Catalog, name: str, use: str, folder: Path, **fields: Any) -> tuple[Check, ...]:
    """Export the tiny version of a pipeline into a folder, and return what was seen of it in one use.

    `fields` are those of the request: seed, backend, and what the compiler is asked.

    Raises:
        NeuronCatalogError: if it cannot be exported.
    """
    told = catalog.pipelines[name].uses[use]
    resolved = resolve_pipeline(tiny_request(told, name, folder / "pipeline", **fields), catalog)
    exported = export_resolved_pipeline(resolved)
    if reason := _unable_to_run(resolved):
        unseen = (Check(name=each, status="not_run", detail=reason) for each in ("image", "negative_control"))
        return (*_parts(exported.folder, exported.composition), *unseen)
    seed = resolved.request.seed
    image = check_images(exported.folder, use, told, _eager(resolved, seed), seed)
    other = check_images(exported.folder, use, told, _eager(resolved, seed + 1), seed)
    return (*_parts(exported.folder, exported.composition), image, negative_control(other))


def _unable_to_run(resolved: ResolvedPipeline) -> str:
    return next(iter(resolved.parts.values())).resolved.backend.unable_to_run()


def negative_control(other: Check) -> Check:
    """Other weights must show in the images: that these are flat, or not finite, is no difference."""
    if any(each.allowed < each.largest < float("inf") for each in other.differences):
        return Check(name="negative_control", status="passed", detail=f"rejected: {other.detail}")
    detail = f"parts with other weights were not told apart: {other.detail}"
    return Check(name="negative_control", status="failed", detail=detail)


def validate_pipeline(
    folder: Path, catalog: Catalog, model: str | None = None
) -> tuple[dict[str, tuple[Check, ...]], dict[str, Check]]:
    """Load the source of an exported pipeline again, run all checks of each part, and compare the images.

    Returns the outcomes of today, by part and by use. `model` names the checkpoint if it has moved since. All
    parts are in memory at once.

    Raises:
        RequestError: if artifact or source cannot be read.
        VerificationError: if a file was altered, the source has other weights now, or a check fails.
    """
    composition = Composition.read(folder)
    composition.require_intact(folder)
    resolved = resolve_pipeline(request_again(composition, model), catalog)
    eager = _eager(resolved, composition.seed)
    parts: dict[str, tuple[Check, ...]] = {}
    for name, module in eager.parts.items():
        require_same_weights(module, Manifest.read(folder / name), resolved.parts[name].source.name)
        (graph,) = validate_model_outputs(folder / name, module)
        parts[name] = graph.checks
    uses = catalog.pipelines[composition.pipeline].uses
    images = {use: check_images(folder, use, uses[use], eager, composition.seed) for use in composition.uses}
    for check in images.values():
        require_passed((check,))
    return parts, images


def request_again(composition: Composition, model: str | None) -> PipelineRequest:
    """Return the request that an artifact was exported for."""
    source = composition.source
    tiny = source.kind == "tiny" and model is None
    steering = [name for name, part in composition.parts.items() if part.source == CONTROLNET]
    return PipelineRequest(
        pipeline=composition.pipeline,
        model=None if tiny else model or source.model,
        axes=composition.axes,
        unet=source.others.get("unet"),
        controlnets=tuple(source.others.get(name, TINY) for name in steering),
        adapters=tuple(
            Adapter(model=each.model, weight_name=each.weight_name, name=each.name, scale=each.scale)
            for each in source.adapters
        ),
        seed=composition.seed,
        revision=source.revision if model is None else None,
    )


def _parts(folder: Path, composition: Composition) -> list[Check]:
    """Return one outcome for each part: the export has passed, or there would be no folder."""
    found = []
    for name in composition.parts:
        checks = [check for graph in Manifest.read(folder / name).graphs for check in graph.checks]
        seen = ", ".join(f"{check.name} {check.status}" for check in checks)
        found.append(Check(name=name, status="passed", detail=seen))
    return found


def _eager(resolved: ResolvedPipeline, seed: int) -> Eager:
    parts = {name: each.part for name, each in resolved.parts.items()}
    sources = {
        name: replace(each.source, seed=seed) if isinstance(each.source, TinyComponentSource) else each.source
        for name, each in resolved.parts.items()
    }
    return Eager.of(parts, sources)
