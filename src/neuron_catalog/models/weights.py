"""Facts about the weights of an eager model: which are tied, how large they are, and their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuron_catalog.models.wrappers import Oracle


@dataclass(frozen=True)
class WeightFacts:
    """`bytes` counts each distinct tensor once; `tied` groups the names that share one."""

    sha256: str
    bytes: int
    tied: tuple[tuple[str, ...], ...]


def weight_facts(model: nn.Module) -> WeightFacts:
    """Read all weights once and describe them; no tensor is copied.

    The digest covers names, dtypes, shapes and values of the state dict in sorted order.
    """
    names_of: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[str]] = {}
    state = model.state_dict()
    for name in sorted(state):
        tensor = state[name]
        names_of.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), []).append(name)
    digest = hashlib.sha256()
    size = 0
    for names in names_of.values():
        tensor = state[names[0]]
        digest.update(f"{','.join(names)}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(_raw(tensor))
        size += tensor.numel() * tensor.element_size()
    tied = tuple(tuple(names) for names in names_of.values() if len(names) > 1 and state[names[0]].numel())
    return WeightFacts(digest.hexdigest(), size, tied)


def _raw(tensor: Tensor) -> memoryview:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def outputs_depending_on(
    model: nn.Module, weights: Iterable[str], oracle: Oracle, inputs: Mapping[str, Tensor]
) -> set[str]:
    """Return the outputs that change when these weights change.

    A checkpoint may lack weights that only some outputs need (a masked language model has no pooler).
    The weights are disturbed for one forward and restored.
    """
    parameters = dict(model.named_parameters())
    chosen = [parameters[name] for name in weights if name in parameters]
    with torch.no_grad():
        before = oracle(inputs)
        saved = [parameter.clone() for parameter in chosen]
        for parameter in chosen:
            parameter.add_(torch.linspace(0.5, 1.5, parameter.numel()).reshape(parameter.shape))
        try:
            after = oracle(inputs)
        finally:
            for parameter, value in zip(chosen, saved, strict=True):
                parameter.copy_(value)
    return {name for name, value in before.items() if not torch.equal(value, after[name])}
