"""Export: build, examine, write everything that belongs to an artifact, publish."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from torch import nn
from transformers import PretrainedConfig
from transformers.utils import GENERATION_CONFIG_NAME

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.digests import record_file
from neuron_catalog.exporting.build import Built, Draft, build, draft_of, live_subjects, read_back
from neuron_catalog.exporting.caching import key_of, recalled_or_made
from neuron_catalog.exporting.cards import write_card
from neuron_catalog.exporting.compiling import OnStep, silent
from neuron_catalog.exporting.examination import examine, examine_before, unexamined
from neuron_catalog.exporting.rehearsal import rehearse
from neuron_catalog.exporting.request import ExportRequest, Resolved, resolve
from neuron_catalog.manifest import (
    MANIFEST_NAME,
    BackendRecord,
    Filling,
    Graph,
    Manifest,
    Plan,
)
from neuron_catalog.models.source_cards import said_of_license
from neuron_catalog.storage.cache import CompileCache, usual_cache
from neuron_catalog.storage.publish import publication, require_free
from neuron_catalog.version import __version__

COMPILER_KEYS = {
    "inline_weights_to_neff": True,
    "tensor_parallel_size": 1,
    "optlevel": None,
    "auto_cast": None,
    "auto_cast_type": None,
}
"""Keys of optimum-neuron's `neuron` section for what the compiler was asked → the value if it was not."""


WORTH_COLLECTING = 2**25
"""Bytes of weights from which garbage is collected before the graph is read. It takes 0.17 s, nearly the time
of a whole export of a tiny model. What the allocator keeps is used again: `malloc_trim` lowers no peak."""


DISABLED = "--disable-validation was given"


@dataclass(frozen=True)
class Exported:
    """A published artifact."""

    folder: Path
    manifest: Manifest
    recalled: bool = False
    """Whether it was taken from the compile cache."""


def export(request: ExportRequest, catalog: Catalog | None = None, on_step: OnStep = silent) -> Exported:
    """Export one model and return the published artifact.

    Raises:
        UsageError: exit code 2, if the request is incomplete.
        CatalogError: 3, if the catalog is wrong.
        RequestError: 4, if the request cannot be met: unknown names, sizes, files, no space.
        CompileError: 5, if the backend refuses the model.
        VerificationError: 6, if a check failed. In every case nothing is left at the target.
    """
    if request.out is not None:
        require_free(request.out, request.overwrite)
    return export_resolved(request, resolve(request, catalog or load_catalog()), on_step)


def export_resolved(request: ExportRequest, resolved: Resolved, on_step: OnStep = silent) -> Exported:
    """Export what a request was resolved to; see `export`."""
    target = request.out or default_target(request, resolved.plan)
    cache = usual_cache() if request.use_cache else None
    return export_into(target, resolved, request.validation, on_step, cache, overwrite=request.overwrite)


def export_into(
    target: Path,
    resolved: Resolved,
    validation: bool,
    on_step: OnStep,
    cache: CompileCache | None = None,
    *,
    overwrite: bool = False,
) -> Exported:
    """Export into a folder, which is there whole or not at all: from the cache if it has the same."""
    resolved.require_compilable()
    with publication(target, overwrite) as folder:
        resolved.source.copy_preprocessing(folder)
        key = key_of(resolved, validation, folder.iterdir()) if cache else None

        def make(resolved: Resolved) -> Manifest:
            return _made(resolved, validation, folder, on_step)

        if cache is None or key is None:
            exported = Exported(target, make(resolved))
        else:
            exported = Exported(target, *recalled_or_made(cache, key, resolved, folder, make, on_step))
        if resolved.plan.task:  # a part of a pipeline has none, and no card of its own
            source = exported.manifest.source
            write_card(folder, exported.manifest, said_of_license(resolved.source, source.revision))
        return exported


def _made(resolved: Resolved, validation: bool, folder: Path, on_step: OnStep) -> Manifest:
    if reason := resolved.backend.unable_to_run():
        draft, graphs = _not_run_here(resolved, validation, folder, reason, on_step)
    else:
        draft, graphs = _run_here(resolved, validation, folder, on_step)
    on_step("Writing the artifact")
    return finish(draft, graphs, resolved, folder)


def _run_here(
    resolved: Resolved, validation: bool, folder: Path, on_step: OnStep
) -> tuple[Draft, tuple[Graph, ...]]:
    with TemporaryFile(dir=folder) as answers:  # without a name; closed before the files are recorded
        draft = _drafted(resolved, validation, folder, answers, on_step)
        if draft.source.weights_bytes >= WORTH_COLLECTING:
            gc.collect()  # a module that was traced is part of circles
        draft = read_back(draft, resolved, folder)
        return draft, _examined(draft, validation, folder, on_step)


def _not_run_here(
    resolved: Resolved, validation: bool, folder: Path, reason: str, on_step: OnStep
) -> tuple[Draft, tuple[Graph, ...]]:
    built = build(resolved, folder, on_step)
    write_settings(built, resolved, folder)
    draft = draft_of(built, live_subjects(built, resolved), resolved.seed)
    if not validation:
        return draft, unexamined(draft.plans, DISABLED)
    on_step("Checking what was compiled, on the CPU")
    return draft, examine_before(draft.plans, draft.subjects, _sides(folder), reason)


def _drafted(resolved: Resolved, validation: bool, folder: Path, answers: BinaryIO, on_step: OnStep) -> Draft:
    """Do all that needs the eager model. It is gone with this function: graphs hold the weights again."""
    built = build(resolved, folder, on_step)
    subjects = {}
    if validation:
        on_step("Asking the eager model")
        subjects = rehearse(live_subjects(built, resolved), answers)
    write_settings(built, resolved, folder)
    return draft_of(built, subjects, resolved.seed)


def write_settings(built: Built, resolved: Resolved, folder: Path) -> None:
    """Write what transformers wants to know of a model."""
    write_config(built.model, built.plan, resolved, folder)
    settings = getattr(built.model, "generation_config", None)
    if settings is not None:
        (folder / GENERATION_CONFIG_NAME).write_text(settings.to_json_string(), encoding="utf-8")


def finish(draft: Draft, graphs: tuple[Graph, ...], resolved: Resolved, folder: Path) -> Manifest:
    """Write the manifest, which makes an artifact of a folder with graphs and settings; return it."""
    manifest = _manifest(draft, graphs, resolved, folder)
    manifest.write(folder)
    return manifest


def default_target(request: ExportRequest, plan: Plan) -> Path:
    """Return the folder that is used when none was given."""
    base = Path(request.model).resolve().name if request.model else f"{plan.architecture}-tiny"
    return Path(f"{base}-{plan.task}-neuron")


def _examined(draft: Draft, validation: bool, folder: Path, on_step: OnStep) -> tuple[Graph, ...]:
    if not validation:
        return unexamined(draft.plans, DISABLED)
    on_step("Validating on fresh inputs")
    return examine(draft.plans, draft.subjects, _sides(folder))


def _manifest(draft: Draft, graphs: tuple[Graph, ...], resolved: Resolved, folder: Path) -> Manifest:
    backend = resolved.backend
    return Manifest(
        neuron_catalog=__version__,
        file=backend.FILE_NAME,
        graphs=graphs,
        parts=draft.parts,
        returns=draft.returns,
        backend=BackendRecord(
            name=resolved.backend_name,
            arguments=backend.arguments(resolved.settings),
            versions=backend.versions(),
            observed=draft.observed,
        ),
        source=draft.source,
        seed=resolved.seed,
        files={
            path.name: record_file(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST_NAME
        },
    )


def _sides(folder: Path) -> tuple[Filling, ...]:
    """Where to try padding first: where the tokenizer puts it."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        settings = {}
    return ("left", "right") if settings.get("padding_side") == "left" else ("right", "left")


def write_config(model: nn.Module, plan: Plan, resolved: Resolved, folder: Path) -> None:
    """Write config.json as transformers does, with a `neuron` section in optimum-neuron's keys."""
    config = config_of(model)
    config["neuron"] = {
        "compiler_type": resolved.compiler_type,
        "compiler_version": resolved.compiler_version,
        "task": plan.task,
        "model_type": plan.architecture,
        **{f"static_{axis}": size for axis, size in plan.axes.items()},
        "dynamic_batch_size": bool(plan.dynamic_axes),
        **{name: resolved.settings.asked.get(name, usual) for name, usual in COMPILER_KEYS.items()},
        "instance_type": resolved.settings.asked.get("target"),
        "output_attentions": "output_attentions" in plan.options,
        "output_hidden_states": "output_hidden_states" in plan.options,
        "float_dtype": "fp32",
        "int_dtype": "int64",
        "input_names": [tensor.name for tensor in plan.inputs],
        "output_names": [tensor.name for tensor in plan.outputs],
    }
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def config_of(model: Any) -> dict[str, Any]:
    """Return the config of a model as its library writes it."""
    if isinstance(model.config, PretrainedConfig):
        told = json.loads(model.config.to_json_string(use_diff=False))
        return {**told, "architectures": [type(model).__name__]}
    config: dict[str, Any] = json.loads(model.to_json_string())
    return config
