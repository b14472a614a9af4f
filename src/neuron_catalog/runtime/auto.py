"""Load any artifact with the class of its task."""

from __future__ import annotations

from neuron_catalog.manifest import Manifest
from neuron_catalog.runtime import classes
from neuron_catalog.runtime.model import NeuronModel


class NeuronAutoModel(NeuronModel):
    """Reads what an artifact was exported for, and loads it with the class for that task.

    A task of a user's own catalog, for which there is no class, is served by `NeuronModel` itself.
    """

    @classmethod
    def _class_for(cls, manifest: Manifest, model_id: str) -> type[NeuronModel]:  # type: ignore[override]
        del model_id
        found: type[NeuronModel] = getattr(classes, manifest.plan.runtime_class, NeuronModel)
        return found
