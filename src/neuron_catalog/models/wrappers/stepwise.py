"""What the wrappers with a cache have in common: signatures, and the trial of a text step by step."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig

from neuron_catalog.manifest import InputTensor, OutputTensor, Plan
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.fitting import resized
from neuron_catalog.models.wrappers.layers import SEQUENCE_DIM, Slot
from neuron_catalog.parts import STATE, Part, PartTensor


class CachedGraph(nn.Module):
    """What the functions with a cache have in common: a model, and what its forward is always given."""

    def __init__(self, model: nn.Module, plan: Plan, inputs: Iterable[InputTensor]) -> None:
        super().__init__()
        self.model = model
        self._inputs = tuple(tensor.name for tensor in inputs)
        self._arguments = {**fixed_arguments(plan), "use_cache": True, "return_dict": True}
        self._accepted = frozenset(inspect.signature(model.forward).parameters)

    @property
    def _config(self) -> PretrainedConfig:
        """The config of the decoder."""
        config: Any = self.model.config
        return config.get_text_config(decoder=True)


def empty_states(shapes: Mapping[Slot, tuple[int, ...]], rows: int, length: int) -> dict[str, Tensor]:
    """Return states by name, for so many rows and positions in the cache."""
    return {
        f"{STATE}{slot.name}": torch.zeros(_sized(shape, rows, None if slot.is_recurrent else length))
        for slot, shape in shapes.items()
    }


STEPS = 8
"""How many tokens a trial takes after the prompt, if the cache has room for them."""


FACTOR = 10.0
"""How much further than usual a step with a cache may differ from the same token in a whole text: sums go
over other lengths, and linear attention is computed by chunks in one and step by step in the other. Measured:
116 of 121 tiny decoders stay below 0.2 times the usual bound, qwen3_next reaches 2.5 times. A model with
other weights differs by more than 10,000 times."""


CACHE_LAYERS = ">=5.10"
"""The versions of transformers whose models find a token's place in the layers of their cache. 5.8.1 asks
the caller for it, 5.10.4 does not; both were tried."""

CACHE_OF_STATES = ">=5.17"
"""The versions that number the recurrent states of a layer, as 5.17.0 does. 5.12.0 keeps a single one."""


def positions_of(mask: Tensor) -> Tensor:
    """Count the tokens of each row from the first that is no padding (`GenerationMixin` counts so, too)."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def last_position(mask: Tensor) -> Tensor:
    """Return the last column in which a mask [rows, length] has a one, of shape [1]."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).amax((0, 1)).reshape(1)


def _sized(shape: tuple[int, ...], rows: int, length: int | None) -> tuple[int, ...]:
    """Return the shape of a state with other rows, and another number of positions if it has any."""
    whole = [rows, *shape[1:]]
    if length is not None:
        whole[SEQUENCE_DIM] = length
    return tuple(whole)


def part_named(parts: tuple[Part, ...], name: str) -> Part:
    """Return the part of a name."""
    return next(part for part in parts if part.name == name)


def part_of(name: str, inputs: Mapping[str, Tensor], outputs: tuple[str, ...]) -> Part:
    """Describe a function by examples of its inputs."""
    tensors = (
        PartTensor(name=each, shape=tuple(value.shape), dtype=str(value.dtype).removeprefix("torch."))
        for each, value in inputs.items()
    )
    return Part(name=name, inputs=tuple(tensors), outputs=outputs)


def stepwise_trial(plan: Plan, ids: str, steps: int, scores: int, sizes: Mapping[str, int]) -> Plan:
    """Return a plan of inputs with other sizes, the tokens `ids` [batch, steps] and the scores after them.

    The first output of a plan is the scores of its first token; the others stay as they are.
    Padding is moved to the left end of texts whose length is among `sizes`.
    """
    text = next(tensor for tensor in plan.inputs if tensor.name == "input_ids")
    batch = plan.axes["batch_size"]
    following = text.model_copy(
        update={"name": ids, "axes": ("batch_size", "num_steps"), "shape": (batch, steps), "placeholders": 0}
    )
    logits = OutputTensor(
        name="logits",
        axes=("batch_size", "num_scores", "vocab_size"),  # of the prompt's last token and all that follow
        shape=(batch, scores, plan.outputs[0].shape[-1]),
        dtype=plan.outputs[0].dtype,
    )
    smaller = resized(plan, sizes)
    inputs = tuple(_left_padded(tensor, sizes) for tensor in smaller.inputs)
    outputs = (logits, *plan.outputs[1:])
    axes = {**plan.axes, **sizes}
    return plan.model_copy(update={"inputs": (*inputs, following), "outputs": outputs, "axes": axes})


def _left_padded(tensor: InputTensor, sizes: Mapping[str, int]) -> InputTensor:
    moved = tensor.fill == "padded_mask" and tensor.axes[-1] in sizes
    return tensor.model_copy(update={"fill": "left_padded_mask"}) if moved else tensor
