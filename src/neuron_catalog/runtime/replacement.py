"""Put other weights into compiled graphs, such as those of a model that was trained on, and prove them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue
from torch import Tensor
from transformers import PretrainedConfig

from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.build import make_subjects
from neuron_catalog.exporting.compiling import describe_source, not_trained, untrained_outputs
from neuron_catalog.exporting.examination import examine
from neuron_catalog.manifest import Manifest, Plan
from neuron_catalog.models.libraries import LIBRARIES
from neuron_catalog.models.sources import EagerModel, Source, build_model
from neuron_catalog.models.wrappers import WRAPPERS
from neuron_catalog.runtime.base import CompiledModel

Weights = str | Path | Mapping[str, Tensor]


def replace_weights(compiled: CompiledModel, weights: Weights, config: PretrainedConfig) -> Manifest:
    """Overwrite the weights of all graphs with those of a checkpoint, or of an eager model's state dict.

    All is examined again; the manifest that is returned tells the outcomes. If a check fails, the old weights
    are back.

    Raises:
        RequestError: if the backend compiles weights in, or the new ones have other names or shapes, or lack
            some that an output depends on.
        VerificationError: if the graph with the new weights is not the model that they make.
    """
    manifest = compiled.manifest
    own = compiled.program.weights
    if own is None:
        raise RequestError(
            f"The backend {manifest.backend.name} compiles the weights into the graph.", "Export again."
        )
    source = _source(weights, manifest, config)
    eager = source.load(manifest.plan)
    if untrained_outputs(manifest.plan, eager, manifest.seed):
        raise not_trained(source, manifest.plan, eager)
    new = _by_graph_name(eager, own, manifest.plan)
    plans = {graph.name: graph.plan for graph in manifest.graphs}
    backend = backends.backend_of(manifest)
    with compiled.program.overwritten(new):
        subjects = make_subjects(plans, eager.module, backend, compiled.program.graphs, manifest.seed)
        graphs = examine(plans, subjects, manifest.sides)
    described = describe_source(source, eager, manifest.seed)
    return manifest.model_copy(update={"graphs": graphs, "source": described})


@dataclass(frozen=True)
class StateDict:
    """Weights in memory, for a model of the same config; a source like a checkpoint."""

    weights: Mapping[str, Tensor]
    own_config: PretrainedConfig
    name: str = "state dict"
    kind: Literal["checkpoint"] = "checkpoint"

    def config(self) -> PretrainedConfig:
        return self.own_config

    def load(self, plan: Plan) -> EagerModel:
        """Build the eager model.

        Raises:
            RequestError: if the names or shapes are not those of the model.
        """
        model = build_model(plan, self.own_config)
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise RequestError(
                f"The weights are not those of a {type(model).__name__}: {first_line(error)}",
                "Give the state dict of a model of the same config.",
            ) from error
        return EagerModel(model.eval())

    def copy_preprocessing(self, folder: Path) -> None:
        """There is nothing to copy."""

    def identity(self) -> JsonValue:
        """Nothing tells."""
        return None


def _source(weights: Weights, manifest: Manifest, config: PretrainedConfig) -> Source:
    if not isinstance(weights, Mapping):
        return LIBRARIES[manifest.plan.library].checkpoint(model=str(weights))
    if manifest.plan.library != "transformers":
        raise RequestError(
            f"Models of {manifest.plan.library} cannot be made from a state dict alone.",
            "Give the folder of the checkpoint.",
        )
    return StateDict(weights, config)


def _by_graph_name(eager: EagerModel, own: Mapping[str, Tensor], plan: Plan) -> dict[str, Tensor]:
    """Return the new weights by their names in the graph.

    Raises:
        RequestError: if one is missing or has another shape.
    """
    prefix = WRAPPERS[plan.wrapper].prefix
    given = {prefix + name: value for name, value in eager.module.state_dict().items()}
    missing = [
        name.removeprefix(prefix) for name, value in own.items() if value.requires_grad and name not in given
    ]
    if missing:
        raise RequestError(
            f"The new weights lack {missing[0]}, which is in the graph.",
            "Only weights of a model of the same config fit; export others.",
        )
    for name, value in own.items():
        if name in given and given[name].shape != value.shape:
            raise RequestError(
                f"{name.removeprefix(prefix)} has shape {tuple(given[name].shape)}, the graph has "
                f"{tuple(value.shape)}.",
                "Only weights of a model of the same config fit; export others.",
            )
    return {name: given[name] for name in own if name in given}
