"""The wrapper of sentence-transformers: the whole pipeline of a model, for each modality that it takes.

The oracle is `SentenceTransformer.encode`, of which only the tokenization is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from neuron_catalog.manifest import Plan
from neuron_catalog.models.wrappers.base import Oracle, Wrapper

MODALITIES = {"text": ("input_ids", "attention_mask"), "image": ("pixel_values",)}
"""What the library calls a modality → its inputs."""

OUTPUTS = {
    "token_embeddings": ("text", "token_embeddings"),
    "sentence_embedding": ("text", "sentence_embedding"),
    "text_embeds": ("text", "sentence_embedding"),
    "image_embeds": ("image", "sentence_embedding"),
}
"""Output → the modality it comes from, and what the library calls it."""

KEYS = frozenset(key for _, key in OUTPUTS.values())


class SentenceGraph(nn.Module):
    """Takes the plan's inputs by position and returns its outputs as a flat tuple."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.pipeline = nn.Sequential(*model.children())  # the model's own class warns when it is traced
        self._width = getattr(model, "truncate_dim", None)
        self._inputs = tuple(tensor.name for tensor in plan.inputs)
        self._outputs = tuple(tensor.name for tensor in plan.outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self._inputs, tensors, strict=True))
        given = {
            modality: self.pipeline({**features, "modality": modality})
            for modality, features in by_modality(named).items()
        }
        for features in given.values():
            features["sentence_embedding"] = features["sentence_embedding"][..., : self._width]
        return tuple(pick(given, self._outputs).values())


class SentenceWrapper(Wrapper):
    """The whole pipeline of sentence-transformers."""

    prefix = "pipeline."

    def module(self, model: nn.Module, plan: Plan) -> nn.Module:
        return SentenceGraph(model, plan)

    def oracle(self, model: Any, plan: Plan) -> Oracle:
        """Return what `model.encode` makes of the same rows."""
        names = tuple(tensor.name for tensor in plan.outputs)

        def reference(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            given = {
                modality: _encoded(model, modality, features)
                for modality, features in by_modality(inputs).items()
            }
            return pick(given, names)

        return reference

    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """The library gives plain dictionaries."""
        del model, plan, inputs
        return {}


def by_modality(inputs: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Sort inputs by the modality that they belong to."""
    return {
        modality: {name: inputs[name] for name in names if name in inputs}
        for modality, names in MODALITIES.items()
        if any(name in inputs for name in names)
    }


def pick(given: Mapping[str, Mapping[str, Tensor]], names: Iterable[str]) -> dict[str, Tensor]:
    """Return the outputs by name, out of what the library gives for each modality."""
    return {name: given[OUTPUTS[name][0]][OUTPUTS[name][1]] for name in names}


def _encoded(model: Any, modality: str, features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Call `encode` with row numbers for texts; in place of tokenizing them, look the rows up."""
    rows = len(next(iter(features.values())))

    def look_up(numbers: list[str], **_: Any) -> dict[str, Any]:
        chosen = torch.tensor([int(number) for number in numbers])
        return {**{name: value[chosen] for name, value in features.items()}, "modality": modality}

    with mock.patch.object(model, "preprocess", look_up):
        encoded = model.encode([str(row) for row in range(rows)], output_value=None, show_progress_bar=False)
    return {key: torch.stack([row[key] for row in encoded]) for key in KEYS if key in encoded[0]}
