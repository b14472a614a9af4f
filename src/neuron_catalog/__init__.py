"""neuron-catalog: a declarative catalog that exports Hugging Face models to AWS Neuron, and proves it.

The names below are the public Python interface; docs/api.md describes them. They are imported when first
used, so that reading a catalog needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neuron_catalog.version import __version__

if TYPE_CHECKING:
    from neuron_catalog.catalog.index import Catalog, load_catalog, mandatory_axes, supported_tasks
    from neuron_catalog.composition import Composition
    from neuron_catalog.errors import (
        CatalogError,
        CompileError,
        NeuronCatalogError,
        RequestError,
        UsageError,
        VerificationError,
    )
    from neuron_catalog.exporting.exporter import Exported, export
    from neuron_catalog.exporting.pipeline import ExportedPipeline, export_pipeline
    from neuron_catalog.exporting.pipeline_request import PipelineRequest
    from neuron_catalog.exporting.request import ExportRequest
    from neuron_catalog.exporting.revalidate import validate_artifact, validate_model_outputs
    from neuron_catalog.manifest import Manifest
    from neuron_catalog.models.adapters import make_adapters
    from neuron_catalog.models.support import infer_task
    from neuron_catalog.runtime.auto import NeuronAutoModel
    from neuron_catalog.runtime.base import CompiledModel, load_artifact
    from neuron_catalog.runtime.classes import *  # noqa: F403
    from neuron_catalog.runtime.model import NeuronModel
    from neuron_catalog.runtime.pipelines import pipeline

HOME = {
    "Catalog": "catalog.index",
    "CatalogError": "errors",
    "CompileError": "errors",
    "CompiledModel": "runtime.base",
    "ExportRequest": "exporting.request",
    "Composition": "composition",
    "Exported": "exporting.exporter",
    "ExportedPipeline": "exporting.pipeline",
    "Manifest": "manifest",
    "NeuronAutoModel": "runtime.auto",
    "NeuronModel": "runtime.model",
    "NeuronCatalogError": "errors",
    "PipelineRequest": "exporting.pipeline_request",
    "RequestError": "errors",
    "UsageError": "errors",
    "VerificationError": "errors",
    "export": "exporting.exporter",
    "export_pipeline": "exporting.pipeline",
    "make_adapters": "models.adapters",
    "infer_task": "models.support",
    "load_artifact": "runtime.base",
    "load_catalog": "catalog.index",
    "mandatory_axes": "catalog.index",
    "pipeline": "runtime.pipelines",
    "supported_tasks": "catalog.index",
    "validate_artifact": "exporting.revalidate",
    "validate_model_outputs": "exporting.revalidate",
}
"""Public name → the module that defines it. Those of tasks, `NeuronModelFor…`, are in `runtime.classes`, and
those of pipelines, `Neuron…Pipeline`, in `runtime.diffusion.classes`."""

__all__ = [
    "Catalog",
    "CatalogError",
    "CompileError",
    "CompiledModel",
    "Composition",
    "ExportRequest",
    "Exported",
    "ExportedPipeline",
    "Manifest",
    "NeuronAutoModel",
    "NeuronCatalogError",
    "NeuronModel",
    "PipelineRequest",
    "RequestError",
    "UsageError",
    "VerificationError",
    "__version__",
    "export",
    "export_pipeline",
    "infer_task",
    "load_artifact",
    "load_catalog",
    "make_adapters",
    "mandatory_axes",
    "pipeline",
    "supported_tasks",
    "validate_artifact",
    "validate_model_outputs",
]


def __getattr__(name: str) -> Any:
    if name.startswith("Neuron") and name.endswith("Pipeline"):
        return _pipeline_class(name)
    home = "runtime.classes" if name.startswith("NeuronModelFor") else HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"neuron_catalog.{home}"), name)


def _pipeline_class(name: str) -> Any:
    """Return a class of pipelines; without the notices about packages that diffusers could use, too.

    Raises:
        RequirementError: naming the extra, if diffusers is not installed.
    """
    from neuron_catalog.models.components import diffusers
    from neuron_catalog.models.sources import quiet_transformers

    diffusers(name)
    with quiet_transformers():
        return getattr(importlib.import_module("neuron_catalog.runtime.diffusion.classes"), name)
