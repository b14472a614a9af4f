"""Repeat the validation of an artifact that lies on disk, against the model it was made from."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.errors import RequestError, VerificationError
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.build import make_subjects
from neuron_catalog.exporting.examination import examine
from neuron_catalog.manifest import Graph, Manifest, Plan
from neuron_catalog.models.libraries import LIBRARIES
from neuron_catalog.models.sources import Source
from neuron_catalog.models.weights import weight_facts
from neuron_catalog.signing import require_trusted


def validate_artifact(
    artifact: Path, catalog: Catalog | None = None, model: str | None = None
) -> tuple[Graph, ...]:
    """Load the source model again, make sure it is the one that was exported, and run all checks.

    Its graphs are returned with the outcomes of today. `model` names the checkpoint if it has moved since.
    One that needs remote code or pickled weights is loaded by hand and given to `validate_model_outputs`.

    Raises:
        RequestError: if artifact or source cannot be read.
        VerificationError: if a file was altered, the source has other weights now, or a check fails.
    """
    manifest = Manifest.read(artifact)
    manifest.require_intact(artifact)
    require_trusted(artifact)
    source = _source(manifest, catalog, model)
    eager = source.load(manifest.plan)
    require_same_weights(eager.module, manifest, source.name)
    return validate_model_outputs(artifact, eager.module)


def require_same_weights(model: nn.Module, manifest: Manifest, name: str) -> None:
    """Make sure that a model has the weights that were exported.

    Raises:
        VerificationError: if it has others.
    """
    found = weight_facts(model).sha256
    if found != manifest.source.weights_sha256:
        raise VerificationError(
            f"{name} has other weights than those exported "
            f"(digest {found[:12]}…, recorded {manifest.source.weights_sha256[:12]}…).",
            "Name the right model or revision with --model, or export again.",
        )


def validate_model_outputs(artifact: Path, model: nn.Module, atol: float | None = None) -> tuple[Graph, ...]:
    """Run all checks on each graph of an artifact against an eager model in eval mode.

    The graphs are returned with the outcomes of today.

    Raises:
        RequestError: if the artifact cannot be read.
        VerificationError: if its graph was altered or a check fails.
    """
    manifest = Manifest.read(artifact)
    manifest.require_intact(artifact)
    require_trusted(artifact)
    backend = backends.backend_of(manifest)
    plans = {graph.name: _bounded(graph.plan, atol) for graph in manifest.graphs}
    graphs = backend.load(artifact / manifest.file, manifest.functions).graphs
    return examine(plans, make_subjects(plans, model, backend, graphs, manifest.seed), manifest.sides)


def _bounded(plan: Plan, atol: float | None) -> Plan:
    return plan if atol is None else plan.model_copy(update={"atol": atol, "atol_from_caller": True})


def _source(manifest: Manifest, catalog: Catalog | None, model: str | None) -> Source:
    recorded = manifest.source
    if not manifest.plan.task:
        raise RequestError(
            f"{manifest.plan.architecture} is a part of a pipeline, and is validated with it.",
            "Give the folder of the whole pipeline.",
        )
    sources = LIBRARIES[manifest.plan.library]
    if recorded.kind == "tiny" and model is None:
        architecture = (catalog or load_catalog()).get(manifest.plan.architecture)
        return sources.tiny(architecture, recorded.seed or 0)
    return sources.checkpoint(
        model=model or recorded.model,
        revision=recorded.revision if model is None else None,
        seed=recorded.seed or 0,
    )
