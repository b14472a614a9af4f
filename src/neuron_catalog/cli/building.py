"""Commands that build models: export, plan, selftest, validate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuron_catalog.cli.context import Json, catalog_of, print_json
from neuron_catalog.cli.printing import print_checks, print_plan, progress, row_progress, say, sizes_of_all
from neuron_catalog.cli.sizes import Size, with_sizes
from neuron_catalog.errors import VerificationError

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog
    from neuron_catalog.exporting.exporter import Exported
    from neuron_catalog.exporting.request import ExportRequest, Resolved

STEPS = 4
"""How often an export reports that a step begins."""

First = Annotated[
    str | None,
    typer.Argument(
        metavar="ARCHITECTURE", help="A model type of the catalog. With --model it may be left out."
    ),
]
Second = Annotated[Path | None, typer.Argument(metavar="OUT", help="The folder to write.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="ID_OR_DIR", help="A checkpoint. Without it the architecture's tiny random model is taken."
    ),
]
TaskOption = Annotated[
    str | None, typer.Option(metavar="TASK", help="Inferred from the model's config if absent.")
]
Revision = Annotated[
    str | None, typer.Option(metavar="REV", help="Branch, tag or commit of a hub repository.")
]
CacheDir = Annotated[
    str | None, typer.Option("--cache_dir", metavar="DIR", help="Where the hub's downloads are kept.")
]
TrustRemoteCode = Annotated[bool, typer.Option("--trust_remote_code", help="Run model code from the hub.")]
HiddenStates = Annotated[
    bool, typer.Option("--output_hidden_states", help="Add every layer's hidden states.")
]
Attentions = Annotated[bool, typer.Option("--output_attentions", help="Add every layer's attention weights.")]
BackendName = Annotated[str | None, typer.Option("--backend", metavar="NAME", help="See `doctor`.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of example inputs and of tiny weights.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("export")(with_sizes(export))
    app.command("plan")(with_sizes(plan))
    app.command("selftest")(selftest)
    app.command("validate")(validate)


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
    as_json: Json = False,
    axes: dict[str, Size],
) -> None:
    """Export a model: compile, check against the eager model, and write an artifact.

    With --model, a single name is the architecture if the catalog has it, and OUT otherwise.
    """
    from neuron_catalog.exporting.exporter import export_resolved
    from neuron_catalog.exporting.publish import require_free
    from neuron_catalog.exporting.request import ExportRequest, resolve

    catalog = catalog_of(context)
    name, target = _architecture_and_out(catalog, architecture, out, model)
    request = ExportRequest(
        architecture=name,
        task=task,
        model=model,
        out=target,
        axes=axes,
        options=_options(output_hidden_states, output_attentions),
        dynamic_batch_size=dynamic_batch_size,
        atol=atol,
        validation=not disable_validation,
        backend=backend,
        seed=seed,
        overwrite=overwrite,
        revision=revision,
        cache_dir=cache_dir,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
    )
    if target is not None:
        require_free(target, overwrite)
    resolved = resolve(request, catalog)
    if not as_json:
        say(_title(request, resolved))
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
    as_json: Json = False,
    axes: dict[str, Size],
) -> None:
    """Print all shapes of an export, and stop before any weight is read.

    With several sizes there is a plan for each graph, the largest last.
    """
    from neuron_catalog.exporting.request import ExportRequest, resolve

    request = ExportRequest(
        architecture=architecture,
        task=task,
        model=model,
        axes=axes,
        options=_options(output_hidden_states, output_attentions),
        backend=backend,
        revision=revision,
        cache_dir=cache_dir,
        trust_remote_code=trust_remote_code,
    )
    plans = resolve(request, catalog_of(context)).plans
    if as_json:
        told = [each.model_dump(mode="json") for each in plans]
        print_json(told if len(told) > 1 else told[0])
        return
    for each in plans:
        print_plan(each)


def selftest(
    context: typer.Context,
    architectures: Annotated[
        list[str] | None, typer.Argument(metavar="ARCHITECTURES", help="All if none is given.")
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Processes to use.")] = 1,
    backend: BackendName = None,
    seed: Seed = 0,
    record: Annotated[
        bool,
        typer.Option("--record", help="Record passed rows as evidence; withdraw failed ones."),
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep finished rows in FILE, and skip those that passed before."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Export the tiny model of every architecture and task, run all checks, and the negative control."""
    from neuron_catalog.proving.journal import Journal
    from neuron_catalog.proving.selftest import selftest as rows

    catalog = catalog_of(context)
    names = architectures or list(catalog.architectures)
    total = sum(len(catalog.supported_tasks(name)) for name in names)
    journal = Journal(resume, catalog, seed) if resume else None
    done = journal.passed(names, backend) if journal else []
    if done and not as_json:
        say(f"{len(done)} of {total} rows passed before: taken from {resume}.")
    with row_progress(total - len(done), quiet=as_json) as on_row:
        for row in rows(catalog, names, backend=backend, seed=seed, jobs=jobs, done=tuple(done)):
            if journal:
                journal.add(row)
            done.append(row)
            on_row(row)
    failed, not_run = sum(row.failed for row in done), sum(bool(row.not_run) for row in done)
    if record:
        from neuron_catalog.proving.record import record as write

        write(catalog, done)
    if as_json:
        done.sort(key=lambda row: (row.architecture, row.task))
        print_json([row.model_dump(mode="json") for row in done])
    else:
        rest = f" {not_run} not run." if not_run else ""
        say(f"{len(done) - failed - not_run} of {len(done)} passed.{rest}")
    if failed:
        raise typer.Exit(VerificationError.exit_code)


def validate(
    context: typer.Context,
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A folder written by export.")],
    model: Annotated[
        str | None, typer.Option(metavar="ID_OR_DIR", help="The source checkpoint, if it has moved.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run all checks of an artifact again, against the model it was made from."""
    from neuron_catalog.exporting.revalidate import validate_artifact
    from neuron_catalog.manifest import Manifest

    graphs = validate_artifact(artifact, catalog_of(context), model)
    if as_json:
        print_json([graph.model_dump(mode="json", include={"name", "checks"}) for graph in graphs])
    else:
        print_checks(Manifest.read(artifact).model_copy(update={"graphs": graphs}))


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
    say(
        f"Saved to {exported.folder}. Load it in Python with: "
        f'NeuronAutoModel.from_pretrained("{exported.folder}")'
    )
