"""Merges LoRA adapters into the parts of a diffusion pipeline, one part at a time.

diffusers loads adapters into whole pipelines. Here the parts are never in memory together, so each is put
into a pipeline of its own, and diffusers does with it what it does with all: load, weigh, fuse, unload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from neuron_catalog.errors import RequestError
from neuron_catalog.models.adapter_weights import AdapterWeights, refusal, refusing_warnings, require_peft
from neuron_catalog.models.sources import quiet_transformers

OTHER_MODEL_REMEDY = "Choose an adapter that was trained for this checkpoint, or one like it."

PAIR = {"lora_A.weight", "lora_B.weight"}
"""What peft calls the two matrices: A has the layer's inputs, B its outputs, and the rank lies between."""

VECTORS = {"lora_B.bias", "lora_magnitude_vector", "lora_magnitude_vector.weight"}
"""What may come with them: a number for each output."""


def require_fitting(adapters: Sequence[AdapterWeights], modules: Mapping[str, nn.Module]) -> None:
    """Make sure that each adapter can be merged as a whole, before any weight of the pipeline is read.

    `modules` are the parts of the pipeline, best built from their configs on the meta device; they stay as
    they are. Parts that no adapter can change may be left out.

    Raises:
        RequirementError: if diffusers or peft is missing or too old.
        RequestError: if an adapter was made for another model.
    """
    require_peft()
    for weights in adapters:
        absent = sorted(set(weights.parts) - set(modules))
        if absent:
            raise RequestError(
                f"The adapter {weights.adapter} changes {', '.join(absent)}, which this pipeline lacks.",
                OTHER_MODEL_REMEDY,
            )
    for part, module in modules.items():
        with _loaded(module, part, adapters):
            pass


def merge(module: nn.Module, part: str, *adapters: AdapterWeights) -> None:
    """Add what adapters have for a part to the weights of its module, each times its scale.

    The module is as plain after as before. One that no adapter changes is not touched.

    Raises:
        RequestError: if an adapter was made for another model; the module is then as it was.
    """
    with _loaded(module, part, adapters) as pipeline:
        if pipeline is not None:
            pipeline.fuse_lora(components=[part])


@contextmanager
def _loaded(module: nn.Module, part: str, adapters: Sequence[AdapterWeights]) -> Iterator[Any]:
    """Keep adapters beside the layers of a module for a while; yield the pipeline around it, if any has such.

    Inside, adapters are numbered: transformers 5.23 takes each weight for an adapter's whose name contains
    the adapter's, which is each if the user calls it "e".
    """
    concerned = [weights for weights in adapters if part in weights.parts]
    for weights in concerned:
        _require_same_layers(weights, part, module)
    if not concerned:
        yield None
        return
    trainable = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    pipeline = _pipeline_of(module, part)
    scales = {f"adapter_{number}": weights.adapter.scale for number, weights in enumerate(concerned)}
    try:
        for name, weights in zip(scales, concerned, strict=True):
            _load(module, part, name, weights)
        pipeline.set_adapters(list(scales), list(scales.values()))
        yield pipeline
    finally:
        pipeline.unload_lora_weights()
        for parameter, before in trainable:
            parameter.requires_grad_(before)


def _pipeline_of(module: nn.Module, part: str) -> Any:
    """Return a pipeline of one part."""
    from diffusers.loaders.lora_base import LoraBaseMixin

    pipeline = type("PipelineOfOne", (LoraBaseMixin,), {"_lora_loadable_modules": [part]})()
    setattr(pipeline, part, module)  # as an attribute of the class, it would outlive its last user
    return pipeline


def _load(module: Any, part: str, name: str, weights: AdapterWeights) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    prefix = f"{part}."
    arguments = {
        "prefix": part,
        "adapter_name": name,
        "metadata": {key: given for key, given in weights.metadata.items() if key.startswith(prefix)} or None,
        "low_cpu_mem_usage": True,
    }
    expected = set(_layers(weights, part, module))
    with refusing_warnings(weights.adapter), quiet_transformers():
        if hasattr(module, "load_lora_adapter"):
            module.load_lora_adapter(dict(weights.parts[part]), **arguments)
        else:
            weights.pipeline_class.load_lora_into_text_encoder(
                dict(weights.parts[part]), None, module, **arguments
            )
    changed = {
        layer
        for layer, wrapped in module.named_modules()
        if isinstance(wrapped, BaseTunerLayer) and name in wrapped.lora_A
    }
    if changed != expected:
        raise RequestError(
            f"The adapter {weights.adapter} names other layers of the {part} than it has matrices for: "
            f"{_first(changed ^ expected)}.",
            "Save it again with the diffusers and peft that it was trained with.",
        )


def _layers(weights: AdapterWeights, part: str, module: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Return an adapter's tensors for a part, by layer and by peft's name, converted as diffusers does it."""
    from diffusers.utils import (
        convert_state_dict_to_diffusers,
        convert_state_dict_to_peft,
        convert_unet_state_dict_to_peft,
    )

    tensors = {name.removeprefix(f"{part}."): tensor for name, tensor in weights.parts[part].items()}
    with refusing_warnings(weights.adapter):
        if not hasattr(module, "load_lora_adapter"):
            tensors = convert_state_dict_to_peft(convert_state_dict_to_diffusers(tensors))
            if not hasattr(module, "text_model"):
                tensors = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
        elif "lora_A" not in next(iter(tensors)):
            tensors = convert_unet_state_dict_to_peft(tensors)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, found, kind = name.partition(".lora")
        if not found:
            raise refusal(weights.adapter, f"it does not know {part}.{name}.")
        layers.setdefault(layer, {})[f"lora{kind}"] = tensor
    return layers


def _require_same_layers(weights: AdapterWeights, part: str, module: nn.Module) -> None:
    """diffusers leaves layers out that the module does not have."""
    made_for_another = f"The adapter {weights.adapter} was made for another model"
    wanted = _layers(weights, part, module)
    present = {
        name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    }
    unknown = set(wanted) - set(present)
    if unknown:
        raise RequestError(
            f"{made_for_another}: its {part} has other linear layers or convolutions than this one "
            f"({_first(unknown)}).",
            OTHER_MODEL_REMEDY,
        )
    for name, tensors in wanted.items():
        if not set(tensors) >= PAIR or set(tensors) - PAIR - VECTORS:
            raise RequestError(
                f"The adapter {weights.adapter} has no pair of matrices for {part}.{name}, but "
                f"{', '.join(sorted(tensors))}.",
                "Download or copy it again.",
            )
        theirs, ours = _size(tensors), _text(present[name].weight.shape)
        if theirs != ours:
            raise RequestError(
                f"{made_for_another}: for it the weight of {part}.{name} is {theirs}, but here it is {ours}.",
                OTHER_MODEL_REMEDY,
            )
        if "lora_B.bias" in tensors and present[name].bias is None:
            raise RequestError(
                f"{made_for_another}: it changes the bias of {part}.{name}, which here has none.",
                OTHER_MODEL_REMEDY,
            )


def _size(tensors: Mapping[str, Tensor]) -> str:
    """Return the size of the weight that a pair of matrices is made for, or theirs if they make no pair."""
    inputs, outputs = tensors["lora_A.weight"].shape, tensors["lora_B.weight"].shape
    if not len(inputs) == len(outputs) > 1 or inputs[0] != outputs[1]:
        return f"{_text(outputs)} times {_text(inputs)}"
    return _text(torch.Size([outputs[0], *inputs[1:]]))


def _text(shape: torch.Size) -> str:
    return "×".join(map(str, shape))


def _first(names: set[str]) -> str:
    first, *others = sorted(names)
    return f"{first} and {len(others)} more" if others else first
