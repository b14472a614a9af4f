"""Exported models beside the eager ones that they were made from, and questions to both."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from neuron_catalog import ExportRequest, NeuronAutoModel, export
from neuron_catalog.exporting.request import resolve
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.fitting import resized


@dataclass(frozen=True)
class Pair:
    """An exported model and the eager one."""

    model: Any
    eager: Any

    def questions(self, length=8, seed=5):
        """Return two rows of unequal lengths; a text that goes on has its padding on the left."""
        plan = self.model.manifest.plan
        kept = [self._left_padded(each) for each in plan.inputs if not each.name.startswith("decoder_")]
        plan = plan.model_copy(update={"inputs": tuple(kept)})
        held = max(each.placeholders for each in kept)
        text = {} if held else {"sequence_length": length, "prompt_length": length}
        return make_inputs(resized(plan, {"batch_size": 2, **text}), seed)

    def write(self, inputs, **options):
        """Have both write texts, drawing the same numbers; returns (ours, theirs)."""
        return tuple(written(each, inputs, **options) for each in (self.model, self.eager))

    def _left_padded(self, tensor):
        left = tensor.fill == "padded_mask" and not self.model.config.is_encoder_decoder
        return tensor.model_copy(update={"fill": "left_padded_mask"}) if left else tensor


def written(model, inputs, **options):
    """Have one model write texts."""
    torch.manual_seed(7)
    with torch.no_grad():
        return model.generate(**inputs, **options)


@pytest.fixture(scope="session")
def pair(catalog, tmp_path_factory):
    """Export the tiny model of an architecture for a task with some sizes; returns a `Pair`, made once."""
    made: dict[tuple[Any, ...], Pair] = {}

    def make(architecture, task, **sizes):
        key = (architecture, task, *sizes.items())
        if key not in made:
            folder = tmp_path_factory.mktemp(architecture) / "artifact"
            request = ExportRequest(architecture=architecture, task=task, axes=sizes, out=folder)
            export(request, catalog)
            resolved = resolve(request, catalog)
            eager = resolved.source.load(resolved.plan).module
            made[key] = Pair(NeuronAutoModel.from_pretrained(folder), eager)
        return made[key]

    return make


@pytest.fixture
def ran(monkeypatch):
    """Watch a model; returns the list in which the name of each of its functions appears when it is run."""

    def watch(model):
        names: list[str] = []

        def watched(name, function):
            return lambda *tensors: names.append(name) or function(*tensors)

        functions = model.compiled.program.graphs
        for name, function in dict(functions).items():
            monkeypatch.setitem(functions, name, watched(name, function))
        if not model.has_cache:
            for bucket in model.compiled._buckets:
                monkeypatch.setitem(bucket.__dict__, "run", watched("forward", bucket.run))
        return names

    return watch
