"""Export a pipeline: one part after the other, each an artifact of its own, and then all of them together.

A part that is finished is kept beside the target until the pipeline is whole. When a later one fails, or the
process is killed, the next run of the same export goes on from there.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.composition import AdapterRecord, Composition, PartRecord, PipelineSourceRecord
from neuron_catalog.digests import record_file
from neuron_catalog.errors import CompileError, RequestError, VerificationError
from neuron_catalog.exporting.caching import key_of
from neuron_catalog.exporting.cards import write_pipeline_card
from neuron_catalog.exporting.compiling import OnStep, silent
from neuron_catalog.exporting.exporter import export_into
from neuron_catalog.exporting.pipeline_request import (
    PipelineRequest,
    ResolvedPart,
    ResolvedPipeline,
    resolve_pipeline,
)
from neuron_catalog.manifest import MANIFEST_NAME, Manifest
from neuron_catalog.models.pipeline_sources import source_of
from neuron_catalog.models.source_cards import said_of_license
from neuron_catalog.storage.cache import usual_cache
from neuron_catalog.storage.publish import publication, require_free
from neuron_catalog.version import __version__

GO_ON = "Finished parts are kept: the same command goes on from there."


@dataclass(frozen=True)
class ExportedPipeline:
    """A published pipeline."""

    folder: Path
    composition: Composition


def export_pipeline(
    request: PipelineRequest, catalog: Catalog | None = None, on_step: OnStep = silent
) -> ExportedPipeline:
    """Export a pipeline and return the published artifact.

    Raises:
        NeuronCatalogError: as `export` does. In every case nothing is left at the target; parts that were
            finished are kept in a hidden folder beside it.
    """
    if request.out is not None:
        require_free(request.out, request.overwrite)
    return export_resolved_pipeline(resolve_pipeline(request, catalog or load_catalog()), on_step)


def export_resolved_pipeline(resolved: ResolvedPipeline, on_step: OnStep = silent) -> ExportedPipeline:
    """Export what a request was resolved to; see `export_pipeline`."""
    request = resolved.request
    target = (request.out or default_pipeline_target(resolved)).absolute()
    require_free(target, request.overwrite)
    kept = target.parent / f".{target.name}.parts"
    places = _finished(kept, resolved, on_step)
    on_step("Writing the pipeline")
    with publication(target, request.overwrite) as folder:
        for name, place in places.items():
            shutil.copytree(place, folder / name, copy_function=_linked)
        resolved.source.write_rest(folder)
        composition = _composition(resolved, folder)
        composition.write(folder)
        said = said_of_license(resolved.source, composition.source.revision)
        write_pipeline_card(folder, composition, said)
    shutil.rmtree(kept, ignore_errors=True)
    return ExportedPipeline(target, composition)


def default_pipeline_target(resolved: ResolvedPipeline) -> Path:
    """Return the folder that is used when none was given."""
    model = resolved.request.model
    base = Path(model).resolve().name if model else "tiny"
    return Path(f"{base}-{resolved.plan.pipeline}-neuron")


def _finished(kept: Path, resolved: ResolvedPipeline, on_step: OnStep) -> dict[str, Path]:
    """Return the folder of each part: one that was finished before, or a new one.

    Raises:
        RequestError, CompileError, VerificationError: naming the part. That weights are lacking is said
            before any part is compiled.
    """
    validation = resolved.request.validation
    places = {name: kept / f"{name}-{_key(part, validation)}" for name, part in resolved.parts.items()}
    finished: dict[str, Path] = {}
    try:
        for name, place in places.items():
            _finish(place, name, resolved, on_step)
            finished[name] = place
    except (RequestError, CompileError, VerificationError) as error:
        remedy = f"{error.remedy} {GO_ON}" if finished else error.remedy
        raise type(error)(f"{name}: {error.cause}", remedy.strip()) from error
    finally:
        with suppress(OSError):
            kept.rmdir()  # unless there is something in it
    return finished


def _finish(place: Path, name: str, resolved: ResolvedPipeline, on_step: OnStep) -> None:
    """Export a part into its folder, unless it is there and whole."""
    if _is_whole(place):
        on_step(f"{name}: kept from an earlier run")
        return
    shutil.rmtree(place, ignore_errors=True)
    part, validation = resolved.parts[name].resolved, resolved.request.validation
    cache = usual_cache() if resolved.request.use_cache else None
    export_into(place, part, validation, lambda step: on_step(f"{name}: {step}"), cache)


def _key(part: ResolvedPart, validation: bool) -> str:
    """Return what tells the export of a part from any other."""
    key = key_of(part.resolved, validation)
    assert key is not None  # the weights of a component can always be told
    return key.digest[:16]


def _is_whole(place: Path) -> bool:
    """Whether a part was finished there, and is as it was."""
    try:
        Manifest.read(place).require_intact(place)
    except (RequestError, VerificationError):
        return False
    return True


def _linked(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _composition(resolved: ResolvedPipeline, folder: Path) -> Composition:
    plan, request = resolved.plan, resolved.request
    parts = {
        name: PartRecord(
            component=part.part.component,
            source=source_of(name, part.part),
            manifest=record_file(folder / name / MANIFEST_NAME),
        )
        for name, part in resolved.parts.items()
    }
    rest = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    paths = [path.relative_to(folder) for path in rest]
    others = request.others if request.model else {}
    adapters = (
        AdapterRecord(
            name=each.adapter.name,
            model=each.adapter.model,
            weight_name=each.adapter.weight_name,
            scale=each.adapter.scale,
            sha256=each.record.sha256,
        )
        for each in resolved.adapters
    )
    return Composition(
        neuron_catalog=__version__,
        pipeline=plan.pipeline,
        uses=plan.uses,
        axes=plan.axes,
        parts=parts,
        source=PipelineSourceRecord(
            kind=resolved.source.kind,
            model=resolved.source.name,
            revision=resolved.source.commit,
            others=others,
            adapters=tuple(adapters),
        ),
        seed=request.seed,
        files={path.as_posix(): record_file(folder / path) for path in paths if path.parts[0] not in parts},
    )
