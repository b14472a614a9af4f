"""What the command line does for diffusion pipelines: say whether one is meant, export it, print it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_catalog.cli.context import print_columns, print_json
from neuron_catalog.cli.printing import MARKS, STEPS, print_plan, progress, say, sizes
from neuron_catalog.cli.sizes import Size
from neuron_catalog.errors import UsageError

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog
    from neuron_catalog.composition import Composition
    from neuron_catalog.exporting.pipeline import ExportedPipeline
    from neuron_catalog.exporting.pipeline_request import PipelineRequest, ResolvedPipeline
    from neuron_catalog.manifest import Check, Graph
    from neuron_catalog.plan.pipeline import PipelinePlan


def pipeline_meant(
    catalog: Catalog,
    first: str | None,
    task: str | None,
    model: str | None,
    revision: str | None = None,
    cache_dir: str | None = None,
) -> tuple[bool, str | None, str | None]:
    """Tell whether a pipeline is meant, which one if that was said, and what the first argument is then.

    If neither task nor architecture is said, the model tells it.

    Raises:
        RequestError: if there is no such repository.
    """
    if task in catalog.pipelines:
        return True, task, None if first == task else first
    if first in catalog.pipelines:
        return True, first, None
    if task is not None or model is None or first in catalog.architectures:
        return False, None, first
    from neuron_catalog.models.libraries import saved_as_pipeline

    return saved_as_pipeline(model, revision, cache_dir), None, first


def request_of(
    pipeline: str | None, model: str | None, out: Path | None, axes: Mapping[str, Size], **more: Any
) -> PipelineRequest:
    """Return what to export.

    Raises:
        UsageError: if a size is several, or the options of adapters do not belong together.
    """
    from neuron_catalog.exporting.pipeline_request import PipelineRequest
    from neuron_catalog.models.adapters import make_adapters

    for axis, size in axes.items():
        if not isinstance(size, int):
            raise UsageError(
                f"--{axis} has several sizes: a pipeline has one graph for each part.", "Give one size."
            )
    lora = [
        more.pop(f"lora_{name}", None) for name in ("model_ids", "weight_names", "adapter_names", "scales")
    ]
    controlnets = tuple(more.pop("controlnet_ids", None) or ())
    sizes_given = {axis: size for axis, size in axes.items() if isinstance(size, int)}
    return PipelineRequest(
        pipeline=pipeline,
        model=model,
        out=out,
        axes=sizes_given,
        controlnets=controlnets,
        adapters=make_adapters(*lora),
        **more,
    )


def refuse_for_pipelines(given: Mapping[str, object]) -> None:
    """Refuse options that are for architectures only.

    Raises:
        UsageError: naming them.
    """
    if named := [f"--{name}" for name, value in given.items() if value]:
        raise UsageError(
            f"{' and '.join(named)} cannot be given for a pipeline.",
            f"Leave {'them' if named[1:] else 'it'} out.",
        )


def refuse_for_architectures(given: Mapping[str, object]) -> None:
    """Refuse options that are for pipelines only.

    Raises:
        UsageError: naming them.
    """
    if named := [f"--{name}" for name, value in given.items() if value]:
        raise UsageError(
            f"{' and '.join(named)} {'are' if named[1:] else 'is'} for diffusion pipelines only.",
            f"Leave {'them' if named[1:] else 'it'} out, or add --task stable-diffusion or another pipeline.",
        )


def export_composed(request: PipelineRequest, catalog: Catalog, as_json: bool) -> None:
    """Export a pipeline and print what was seen."""
    from neuron_catalog.exporting.pipeline import export_resolved_pipeline
    from neuron_catalog.exporting.pipeline_request import resolve_pipeline
    from neuron_catalog.storage.publish import require_free

    if request.out is not None:
        require_free(request.out, request.overwrite)
    resolved = resolve_pipeline(request, catalog)
    if not as_json:
        say(_title(resolved))
        print_parts(resolved.plan)
    with progress(STEPS * len(resolved.parts) + 1, quiet=as_json) as on_step:
        exported = export_resolved_pipeline(resolved, on_step)
    if as_json:
        print_json({"folder": str(exported.folder), **exported.composition.model_dump(mode="json")})
    else:
        _print_exported(exported)


def plan_composed(request: PipelineRequest, catalog: Catalog, as_json: bool) -> None:
    """Print all shapes of a pipeline's parts; no weight is read."""
    from neuron_catalog.exporting.pipeline_request import resolve_pipeline

    made = resolve_pipeline(request, catalog).plan
    if as_json:
        parts = {name: part.model_dump(mode="json") for name, part in made.parts.items()}
        print_json({"pipeline": made.pipeline, "axes": made.axes, "parts": parts})
        return
    for name, part in made.parts.items():
        say(f"{name}:")
        print_plan(part)


def _title(resolved: ResolvedPipeline) -> str:
    plan, request = resolved.plan, resolved.request
    backend = next(iter(resolved.parts.values())).resolved.backend
    chosen = ", ".join(f"{axis} {size}" for axis, size in plan.axes.items())
    title = (
        f"Exporting {plan.pipeline} with backend {resolved.backend_name} on the {backend.DEVICE}: {chosen}."
    )
    if request.model is None:
        title += (
            "\nNo --model was given: this is the pipeline's tiny version "
            f"with random weights of seed {request.seed}."
        )
    return title


def print_parts(plan: PipelinePlan) -> None:
    """Print which sizes each part is compiled for."""
    print_columns([(f"  {name}", part.architecture, sizes(part)) for name, part in plan.parts.items()])


def _print_exported(exported: ExportedPipeline) -> None:
    from neuron_catalog.manifest import Manifest

    graphs = {name: Manifest.read(exported.folder / name).graphs[-1] for name in exported.composition.parts}
    _print_checks(graphs)
    say(f"Saved to {exported.folder}. Load it in Python with one of:")
    for use, cls in exported.composition.uses.items():
        say(f'  {cls}.from_pretrained("{exported.folder}")  # {use}')


def _print_checks(graphs: Mapping[str, Graph]) -> None:
    """Print a line for each part, or that none was validated."""
    statuses = {check.status for graph in graphs.values() for check in graph.checks}
    if statuses == {"not_run"}:
        say(f"Not validated: {next(iter(graphs.values())).checks[0].detail}.")
        return
    say("Validating the graph of each part, saved and read back, against the eager module:")
    for name, graph in graphs.items():
        say(part_line(name, graph.checks))


def part_line(name: str, checks: tuple[Check, ...]) -> str:
    """Return what the checks of a part saw, in one line."""
    seen = {status: [check.name for check in checks if check.status == status] for status in MARKS}
    told = "; ".join(f"[{MARKS[status]}] {', '.join(names)}" for status, names in seen.items() if names)
    worst = max((d.largest for check in checks for d in check.differences), default=0.0)
    return f"- {name}: {told}; largest difference {worst:.1e}"


def print_composition(composition: Composition, folder: Path) -> None:
    """Print what an exported pipeline is, from its manifests alone."""
    from neuron_catalog.manifest import Manifest

    say(f"{composition.pipeline}: {', '.join(f'{axis} {size}' for axis, size in composition.axes.items())}")
    source = composition.source
    say(f"source: {source.model}" + (f" (revision {source.revision})" if source.revision else ""))
    for part, model in source.others.items():
        say(f"{part} from: {model}")
    for adapter in source.adapters:
        say(f"adapter {adapter.name}: {adapter.model}, scale {adapter.scale}, sha256 {adapter.sha256[:16]}…")
    say("uses:")
    print_columns([(f"  {use}", cls) for use, cls in composition.uses.items()])
    say("parts:")
    rows = []
    for name, record in composition.parts.items():
        manifest = Manifest.read(folder / name)
        verified = MARKS["passed" if manifest.verified else "not_run"]
        weights = f"{manifest.source.weights_bytes / 1e6:.2f} MB"
        rows.append((f"  [{verified}] {name}", record.component, weights, sizes(manifest.plan)))
    print_columns(rows)
    say("files besides the parts:")
    files = composition.files.items()
    print_columns([(f"  {name}", f"{each.bytes} bytes", each.sha256[:16] + "…") for name, each in files])
