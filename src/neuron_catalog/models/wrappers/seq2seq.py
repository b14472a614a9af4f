"""An encoder and a decoder with a cache of fixed size, as two functions: `encode` and `decode`.

`encode` also computes the keys and values of what it made for each layer of the decoder, once. `decode` reads
one token of the answer more. The oracle is the plain model without any cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from neuron_catalog.manifest import InputTensor, Plan
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.continuation import AnsweredText, Function, MakeStates, dirty, zeros
from neuron_catalog.models.fills import Inputs, Pattern, make_inputs
from neuron_catalog.models.fitting import resized
from neuron_catalog.models.wrappers.base import Oracle, Wrapped, Wrapper
from neuron_catalog.models.wrappers.forward import class_path
from neuron_catalog.models.wrappers.layers import (
    SEQUENCE_DIM,
    Given,
    Recording,
    Slot,
    Written,
    cache_of,
    slots_of,
)
from neuron_catalog.models.wrappers.stepwise import (
    CACHE_LAYERS,
    FACTOR,
    STEPS,
    CachedGraph,
    empty_states,
    last_position,
    part_named,
    part_of,
    positions_of,
)
from neuron_catalog.parts import STATE, Part

ANSWER = "decoder_input_ids"
HIDDEN = "encoder_last_hidden_state"


class EncoderDecoderGraph(CachedGraph):
    """The functions of an encoder and a decoder. What is kept is found by reading one input."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        super().__init__(model, plan, encoder_inputs(plan))
        self._own: tuple[Slot, ...] = ()
        self._cross: tuple[Slot, ...] = ()
        self._fields: tuple[str, ...] = ()
        self._shapes: dict[Slot, tuple[int, ...]] = {}
        self._width = 0
        self._find_slots(plan)

    def encode(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Read the input; return what the encoder makes of it, and its keys and values for each layer."""
        cache = self._recorder()
        given = self._read(dict(zip(self._inputs, tensors, strict=True)), cache)
        cross = (slot.read(cache.cross_attention_cache) for slot in self._cross)
        return (given["last_hidden_state"], *(given[name] for name in self._fields), *cross)

    def decode(self, ids: Tensor, mask: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Read one token of the answer more, the last that its mask [rows, cache length] shows."""
        kept = len(tensors) - len(self._own)
        masks = kept - len(self._fields) - len(self._cross)
        fields = dict(zip(self._fields, tensors[masks:], strict=False))
        cross, states = tensors[kept - len(self._cross) : kept], tensors[kept:]
        own, other = cache_of(self._config, Written), cache_of(self._config, Given)
        for layer in own.layers:
            layer.position, layer.reach = last_position(mask), mask.shape[1]
        for slot, value in zip(self._own, states, strict=True):
            slot.write(own, value)
        for slot, value in zip(self._cross, cross, strict=True):
            slot.write(other, value)
        named = {"decoder_input_ids": ids, "past_key_values": EncoderDecoderCache(own, other)}
        if masks:
            named["attention_mask"] = tensors[0]
        if "decoder_attention_mask" in self._accepted:
            named["decoder_attention_mask"] = mask
        if "decoder_position_ids" in self._accepted:
            named["decoder_position_ids"] = positions_of(mask)[:, -1:]
        read = cross[0].shape[SEQUENCE_DIM]
        hidden = torch.zeros(len(ids), read, self._width, device=ids.device)  # only its shape is asked for
        encoded = Encoded.of({"last_hidden_state": hidden, **fields})
        given = self.model(encoder_outputs=encoded, **named, **self._arguments)
        return (given.logits, *(slot.read(own) for slot in self._own))

    def token(
        self, plan: Plan, read: Mapping[str, Tensor], encoded: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return an example of a token of the answer, by name, for what was read and encoded of it."""
        beams, length = plan.axes["num_beams"], plan.axes["decoder_sequence_length"]
        rows = plan.axes["batch_size"] * beams
        mask = torch.ones(rows, length, dtype=torch.int64)
        mask[:, -1] = 0
        again = {**{name: value for name, value in read.items() if name == "attention_mask"}, **encoded}
        kept = {name: value.repeat_interleave(beams, 0) for name, value in again.items() if name != HIDDEN}
        own = empty_states(self._shapes, rows, length)
        ids = torch.zeros(rows, 1, dtype=torch.int64)
        return {ANSWER: ids, "decoder_attention_mask": mask, **kept, **own}

    @property
    def encoded(self) -> list[str]:
        """What the outputs of `encode` are called."""
        fields = (f"encoder.{name}" for name in self._fields)
        return [HIDDEN, *fields, *(f"cross.{slot.name}" for slot in self._cross)]

    def _recorder(self) -> EncoderDecoderCache:
        return EncoderDecoderCache(cache_of(self._config, Recording), cache_of(self._config, Recording))

    def _find_slots(self, plan: Plan) -> None:
        cache = self._recorder()
        with torch.no_grad():
            given = self._read(encoder_examples(plan, 0, "full"), cache)
        self._width = given["last_hidden_state"].shape[-1]
        others = (name for name in given if name != "last_hidden_state")
        self._fields = tuple(name for name in others if isinstance(given[name], Tensor))
        self._own = tuple(slots_of(cache.self_attention_cache))
        self._cross = tuple(slots_of(cache.cross_attention_cache))
        self._shapes = {slot: tuple(slot.read(cache.self_attention_cache).shape) for slot in self._own}

    def _read(self, named: Mapping[str, Tensor], cache: EncoderDecoderCache) -> ModelOutput:
        """Encode, and have the decoder read a token, for which it asks for keys and values."""
        model: Any = self.model
        given = model.get_encoder()(**named, return_dict=True)
        more = {name: value for name, value in named.items() if name == "attention_mask"}
        first = torch.zeros(len(given["last_hidden_state"]), 1, dtype=torch.int64)
        answer = {ANSWER: first, "past_key_values": cache}
        model(encoder_outputs=Encoded.of(given), **more, **answer, **self._arguments)
        return given


class Encoded(BaseModelOutput):  # type: ignore[misc]
    """What an encoder gave, with nothing in the fields that this one does not have."""

    @classmethod
    def of(cls, fields: Mapping[str, Tensor]) -> Encoded:
        """Return an object that a decoder takes for its encoder's."""
        encoded = cls()
        for name, value in fields.items():
            encoded[name] = value
        return encoded

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)


class EncoderDecoderCacheWrapper(Wrapper):
    """Encoder and decoder of a text, or of a sound and a text."""

    prefix = "model."
    factor = FACTOR
    transformers = CACHE_LAYERS

    def module(self, model: nn.Module, plan: Plan) -> EncoderDecoderGraph:
        return EncoderDecoderGraph(model, plan)

    def wrapped(self, model: nn.Module, plans: Mapping[str, Plan], seed: int) -> Wrapped:
        module = self.module(model, list(plans.values())[-1])
        examples: dict[str, tuple[Tensor, ...]] = {}
        parts: dict[str, Part] = {}
        for plan in plans.values():
            read = encoder_examples(plan, seed)
            with torch.no_grad():
                encoded = dict(zip(module.encoded, module.encode(*read.values()), strict=True))
            token = module.token(plan, read, encoded)
            own = tuple(name for name in token if name.startswith(STATE))
            for name, function, inputs, outputs in (
                (encode_name(plan), module.encode, read, tuple(encoded)),
                (decode_name(plan), module.decode, token, ("logits", *own)),
            ):
                setattr(module, name, function)
                examples[name] = tuple(inputs.values())
                parts[name] = part_of(name, inputs, outputs)
        return Wrapped(module, examples, tuple(parts.values()))

    def trial(self, plan: Plan) -> Plan:
        sizes = {"decoder_sequence_length": min(STEPS, plan.axes["decoder_sequence_length"])}
        return resized(plan, sizes).model_copy(update={"axes": {**plan.axes, **sizes}})

    def assembled(
        self, name: str, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Function:
        del name
        return self._answering(plan, functions, part_named(parts, decode_name(plan)), dirty)

    def called(
        self, name: str, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]
    ) -> Function:
        del name
        return self._answering(plan, functions, part_named(parts, decode_name(plan)), zeros)

    def begun(self, plan: Plan, functions: Mapping[str, Function], parts: tuple[Part, ...]) -> AnsweredText:
        return self.text(plan, functions, zeros(part_named(parts, decode_name(plan))))

    def _answering(
        self, plan: Plan, functions: Mapping[str, Function], part: Part, states: MakeStates
    ) -> Function:
        names = [tensor.name for tensor in plan.inputs]

        def run(*tensors: Tensor) -> tuple[Tensor, ...]:
            inputs = dict(zip(names, tensors, strict=True))
            answer = inputs.pop(ANSWER)
            text = self.text(plan, functions, states(part))
            hidden = text.begin(inputs)
            tokens = (ids.repeat_interleave(text.beams, 0) for ids in torch.split(answer, 1, dim=1))
            scores = torch.cat([text.step(ids)[:: text.beams] for ids in tokens], dim=1)
            return (scores, hidden)[: len(plan.outputs)]

        return run

    def text(self, plan: Plan, functions: Mapping[str, Function], states: list[Tensor]) -> AnsweredText:
        """Return an answer to be written by the functions of a plan."""
        return AnsweredText(plan, functions[encode_name(plan)], functions[decode_name(plan)], states)

    def oracle(self, model: nn.Module, plan: Plan) -> Oracle:
        def reference(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            given = model(**inputs, **fixed_arguments(plan, inputs), use_cache=False)
            return {tensor.name: given[tensor.name] for tensor in plan.outputs}

        return reference

    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        with torch.no_grad():
            given = model(**inputs, **fixed_arguments(plan, inputs))
        return {"": class_path(given)}


def encoder_inputs(plan: Plan) -> tuple[InputTensor, ...]:
    """Return the inputs of a plan without the answer."""
    return tuple(tensor for tensor in plan.inputs if not tensor.name.startswith("decoder_"))


def encoder_examples(plan: Plan, seed: int, pattern: Pattern = "mixed_lengths") -> Inputs:
    """Return example inputs for the encoder."""
    given = make_inputs(plan, seed, pattern)
    return {tensor.name: given[tensor.name] for tensor in encoder_inputs(plan)}


def encode_name(plan: Plan) -> str:
    """Return what the function that reads the input is called in the file."""
    return f"encode_{_sizes(plan)}"


def decode_name(plan: Plan) -> str:
    """Return what the function that reads a token of the answer is called in the file."""
    return f"decode_{plan.axes['num_beams']}_{_sizes(plan)}_of_{plan.axes['decoder_sequence_length']}"


def _sizes(plan: Plan) -> str:
    """The sizes of all axes that the encoder's inputs have."""
    sizes = {a: s for t in encoder_inputs(plan) for a, s in zip(t.axes, t.shape, strict=True)}
    return "x".join(map(str, sizes.values()))
