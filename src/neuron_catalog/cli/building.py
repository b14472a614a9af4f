"""Commands that build models: export and plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import JsonValue

from neuron_catalog.cli.compiling import with_compiler
from neuron_catalog.cli.context import BackendName, Json, Seed, catalog_of, print_json
from neuron_catalog.cli.foretelling import foretell, foretell_composed
from neuron_catalog.cli.options import (
    Attentions,
    CacheDir,
    Controlnets,
    First,
    HiddenStates,
    LoraFiles,
    LoraModels,
    LoraNames,
    LoraScales,
    Model,
    Revision,
    Second,
    TaskOption,
    TrustRemoteCode,
    Unet,
)
from neuron_catalog.cli.pipelines import (
    export_composed,
    pipeline_meant,
    plan_composed,
    refuse_for_architectures,
    refuse_for_pipelines,
    request_of,
)
from neuron_catalog.cli.printing import STEPS, print_checks, print_plan, progress, say, sizes_of_all
from neuron_catalog.cli.sizes import Size, with_sizes

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog
    from neuron_catalog.exporting.exporter import Exported
    from neuron_catalog.exporting.request import ExportRequest, Resolved


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("export")(with_compiler(with_sizes(export)))
    app.command("plan")(with_sizes(plan))


def export(
    context: typer.Context,
    architecture: First = None,
    out: Second = None,
    *,
    model: Model = None,
    task: TaskOption = None,
    revision: Revision = None,
    cache_dir: CacheDir = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow_pickle", help="Read pickled weights, which can run any code.")
    ] = False,
    atol: Annotated[
        float | None, typer.Option(metavar="X", help="Also bound each difference by this number.")
    ] = None,
    disable_validation: Annotated[
        bool, typer.Option("--disable_validation", help="Skip the checks; the manifest says so.")
    ] = False,
    dynamic_batch_size: Annotated[
        bool, typer.Option("--dynamic_batch_size", help="Serve any batch, by splitting.")
    ] = False,
    output_hidden_states: HiddenStates = False,
    output_attentions: Attentions = False,
    backend: BackendName = None,
    seed: Seed = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder that is not empty.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no_cache", help="Neither look into the compile cache nor write to it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Say what would be done, and do nothing.")
    ] = False,
    unet: Unet = None,
    controlnet_ids: Controlnets = None,
    lora_model_ids: LoraModels = None,
    lora_weight_names: LoraFiles = None,
    lora_adapter_names: LoraNames = None,
    lora_scales: LoraScales = None,
    as_json: Json = False,
    axes: dict[str, Size],
    compiler: dict[str, JsonValue],
) -> None:
    """Export a model: compile, check against the eager model, and write an artifact.

    With --model, a single name is the architecture if the catalog has it, and OUT otherwise. A diffusion
    pipeline is asked for by --task, such as stable-diffusion.
    """
    from neuron_catalog.exporting.exporter import export_resolved
    from neuron_catalog.exporting.request import ExportRequest, resolve
    from neuron_catalog.storage.publish import require_free

    catalog = catalog_of(context)
    common: dict[str, Any] = {
        "atol": atol,
        "validation": not disable_validation,
        "backend": backend,
        "seed": seed,
        "overwrite": overwrite,
        "compiler": compiler,
        "revision": revision,
        "cache_dir": cache_dir,
        "use_cache": not no_cache,
    }
    of_pipelines = {
        "unet": unet,
        "controlnet_ids": controlnet_ids,
        "lora_model_ids": lora_model_ids,
        "lora_weight_names": lora_weight_names,
        "lora_adapter_names": lora_adapter_names,
        "lora_scales": lora_scales,
    }
    of_architectures = {
        "trust_remote_code": trust_remote_code,
        "allow_pickle": allow_pickle,
        "dynamic_batch_size": dynamic_batch_size,
        "output_hidden_states": output_hidden_states,
        "output_attentions": output_attentions,
    }
    composed, pipeline, first = pipeline_meant(catalog, architecture, task, model, revision, cache_dir)
    if composed:
        refuse_for_pipelines(of_architectures)
        target = out or (Path(first) if first else None)
        asked = request_of(pipeline, model, target, axes, **common, **of_pipelines)
        (foretell_composed if dry_run else export_composed)(asked, catalog, as_json)
        return
    refuse_for_architectures(of_pipelines)
    name, target = _architecture_and_out(catalog, architecture, out, model)
    request = ExportRequest(
        architecture=name,
        task=task,
        model=model,
        out=target,
        axes=axes,
        options=_options(output_hidden_states, output_attentions),
        dynamic_batch_size=dynamic_batch_size,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        **common,
    )
    if target is not None:
        require_free(target, overwrite)
    resolved = resolve(request, catalog)
    if not as_json:
        say(_title(request, resolved))
    if dry_run:
        foretell(resolved, request, as_json)
        return
    with progress(STEPS, quiet=as_json) as on_step:
        exported = export_resolved(request, resolved, on_step)
    if as_json:
        print_json({"folder": str(exported.folder), **exported.manifest.model_dump(mode="json")})
    else:
        _print_export(exported, resolved)


def plan(
    context: typer.Context,
    architecture: First = None,
    *,
    model: Model = None,
    task: TaskOption = None,
    revision: Revision = None,
    cache_dir: CacheDir = None,
    trust_remote_code: TrustRemoteCode = False,
    output_hidden_states: HiddenStates = False,
    output_attentions: Attentions = False,
    backend: BackendName = None,
    unet: Unet = None,
    controlnet_ids: Controlnets = None,
    as_json: Json = False,
    axes: dict[str, Size],
) -> None:
    """Print all shapes of an export, and stop before any weight is read.

    With several sizes there is a plan for each graph, the largest last.
    """
    from neuron_catalog.exporting.request import ExportRequest, resolve

    catalog = catalog_of(context)
    common: dict[str, Any] = {"backend": backend, "revision": revision, "cache_dir": cache_dir}
    of_pipelines = {"unet": unet, "controlnet_ids": controlnet_ids}
    of_architectures = {
        "trust_remote_code": trust_remote_code,
        "output_hidden_states": output_hidden_states,
        "output_attentions": output_attentions,
    }
    composed, pipeline, _ = pipeline_meant(catalog, architecture, task, model, revision, cache_dir)
    if composed:
        refuse_for_pipelines(of_architectures)
        plan_composed(request_of(pipeline, model, None, axes, **common, **of_pipelines), catalog, as_json)
        return
    refuse_for_architectures(of_pipelines)
    request = ExportRequest(
        architecture=architecture,
        task=task,
        model=model,
        axes=axes,
        options=_options(output_hidden_states, output_attentions),
        trust_remote_code=trust_remote_code,
        **common,
    )
    plans = resolve(request, catalog).plans
    if as_json:
        told = [each.model_dump(mode="json") for each in plans]
        print_json(told if len(told) > 1 else told[0])
        return
    for each in plans:
        print_plan(each)


def _architecture_and_out(
    catalog: Catalog, architecture: str | None, out: Path | None, model: str | None
) -> tuple[str | None, Path | None]:
    """With --model, `export --model X somewhere` means an output folder unless it names an architecture."""
    if model and out is None and architecture and architecture not in catalog.architectures:
        return None, Path(architecture)
    return architecture, out


def _options(hidden_states: bool, attentions: bool) -> frozenset[str]:
    chosen = {"output_hidden_states": hidden_states, "output_attentions": attentions}
    return frozenset(name for name, on in chosen.items() if on)


def _title(request: ExportRequest, resolved: Resolved) -> str:
    made = resolved.plan
    title = (
        f"Exporting {made.architecture} for {made.task} with backend {resolved.backend_name} "
        f"on the {resolved.backend.DEVICE}: {sizes_of_all(resolved.plans)}."
    )
    if request.model is None:
        title += (
            "\nNo --model was given: this is the architecture's tiny model "
            f"with random weights of seed {request.seed}."
        )
    return title


def _print_export(exported: Exported, resolved: Resolved) -> None:
    manifest = exported.manifest
    left_out = {t.name for t in resolved.plan.outputs} - {t.name for t in manifest.plan.outputs}
    if left_out:
        say(
            f"Left out {', '.join(sorted(left_out))}: the checkpoint lacks its weights "
            f"({', '.join(manifest.source.missing_weights)})."
        )
    print_checks(manifest)
    if exported.recalled:
        say("Taken from the compile cache, where all this was kept when it was compiled.")
    say(
        f"Saved to {exported.folder}. Load it in Python with: "
        f'NeuronAutoModel.from_pretrained("{exported.folder}")'
    )
