"""Layers of transformers' cache that keep what they are given in tensors of fixed shapes.

transformers decides which layers a model has: full, sliding or recurrent ones, and those that are several of
these. Each keeps its class, and gets other ways to take keys and values. The model's own code then makes its
masks and positions, so that no architecture is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, EncoderDecoderCache

SEQUENCE_DIM = 2
"""Where keys and values (batch, heads, positions, width) have their positions."""

RECURRENT = ("conv_states", "recurrent_states")


class _Attention:
    """Stands before a layer's own class; what it does not answer, that class does."""

    _layer_type = None  # or transformers registers the class for a type of layer
    is_initialized = True
    is_compileable = True  # of fixed size: a mask is always made, even for a single token
    keys: Tensor | None = None
    values: Tensor | None = None

    def get_max_length(self) -> int:
        return -1


class Recording(_Attention):
    """The first tokens: they see each other and nothing else, and their keys and values are kept."""

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.keys, self.values = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0


class Written(_Attention):
    """One token more, whose keys and values are written at its position; the places behind it are masked."""

    position: Tensor
    """Of shape [1]."""
    reach: int
    """How many places are seen, from the first; the position is among them."""
    keys: Tensor
    values: Tensor

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.keys = self.keys.index_copy_(SEQUENCE_DIM, self.position, keys)
        self.values = self.values.index_copy_(SEQUENCE_DIM, self.position, values)
        return self._seen(self.keys), self._seen(self.values)

    def _seen(self, kept: Tensor) -> Tensor:
        return kept if self.reach == kept.shape[SEQUENCE_DIM] else kept.narrow(SEQUENCE_DIM, 0, self.reach)

    def get_seq_length(self) -> Tensor:
        return self.position.reshape(())

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self.reach, 0


class Shifted(Written):
    """One token more at the right end: all before it move to the left, and the first one falls out.

    It is for models that take the position of a token from the number of keys. All sizes are constants.
    """

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        first = keys.shape[SEQUENCE_DIM]
        self.keys = torch.cat([self.keys[:, :, first:], keys], SEQUENCE_DIM)
        self.values = torch.cat([self.values[:, :, first:], values], SEQUENCE_DIM)
        return self.keys, self.values

    def get_seq_length(self) -> int:  # type: ignore[override]
        return self.keys.shape[SEQUENCE_DIM] - 1


class Given(_Attention):
    """Keys and values of an encoder's output, which do not change."""

    keys: Tensor

    def get_seq_length(self) -> int:
        return self.keys.shape[SEQUENCE_DIM]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length
        return self.keys.shape[SEQUENCE_DIM], 0


@dataclass(frozen=True)
class Slot:
    """Where a layer keeps one tensor."""

    layer: int
    attribute: str
    number: int | None = None
    """Which one, where a layer has several of a kind."""

    @property
    def name(self) -> str:
        """What the tensor is called in a signature."""
        number = () if self.number is None else (str(self.number),)
        return ".".join((str(self.layer), self.attribute, *number))

    @property
    def is_recurrent(self) -> bool:
        """Whether the tensor has one shape, however many tokens it stands for."""
        return self.attribute in RECURRENT

    def read(self, cache: Cache) -> Tensor:
        """Return what a cache keeps here."""
        value = getattr(cache.layers[self.layer], self.attribute)
        return value if self.number is None else value[self.number]  # type: ignore[no-any-return]

    def write(self, cache: Cache, value: Tensor) -> None:
        """Put a tensor here, as if the layer had taken it before."""
        layer: Any = cache.layers[self.layer]
        if self.number is None:
            setattr(layer, self.attribute, value)
            return
        getattr(layer, self.attribute)[self.number] = value
        getattr(layer, f"is_{self.attribute}_initialized")[self.number] = True
        layer.has_previous_state[self.number] = True
        if self.attribute == "conv_states":
            layer.conv_kernel_size[self.number] = value.shape[-1]


def cache_of(config: PretrainedConfig, attention: type[_Attention]) -> Cache:
    """Return an empty cache with the layers that transformers makes for a config."""
    cache: Cache = DynamicCache(config=config)
    cache.layers = [
        _taught(layer, attention) if isinstance(layer, CacheLayerMixin) else layer for layer in cache.layers
    ]
    return cache


def _taught(layer: CacheLayerMixin, attention: type[_Attention]) -> Any:
    """Return a layer of the same class that takes keys and values in another way."""
    cls: Any = type(attention.__name__, (attention, type(layer)), {})
    taught = cls.__new__(cls)
    vars(taught).update(vars(layer), is_initialized=True)
    return taught


def encoder_decoder_cache(own: Cache, cross: Cache) -> EncoderDecoderCache:
    """Put the cache of a decoder's own tokens beside that of an encoder's output."""
    return EncoderDecoderCache(own, cross)


def slots_of(cache: Cache) -> Iterator[Slot]:
    """Yield the places that hold a tensor after a model has used a cache."""
    for number, layer in enumerate(cache.layers):
        for attribute in ("keys", "values"):
            if isinstance(getattr(layer, attribute, None), Tensor):
                yield Slot(number, attribute)
        for attribute in RECURRENT:
            kept: Mapping[int, Tensor | None] = getattr(layer, attribute, {})
            for each, value in kept.items():
                if value is not None:
                    yield Slot(number, attribute, each)
