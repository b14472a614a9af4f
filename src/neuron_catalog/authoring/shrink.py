"""Make a config small: every size shrinks by the same rules, so that sizes which must agree still do.

A rule is chosen by the name of a key, as transformers spells it; equal numbers under such names become equal
small numbers, wherever they stand in nested configs. What comes out are arguments for the config class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from transformers import PretrainedConfig

HEADS = 4
HEAD_DIM = 8
WIDTH = HEADS * HEAD_DIM
LAYERS = 2
VOCABULARY = 99
POSITIONS = 64
IMAGE = 32
PATCH = 8
FEED_FORWARD = 64
EXPERTS = 4

Number = Callable[["Shrinker", str, int], int]


def _at_most(limit: int) -> Number:
    return lambda shrinker, name, value: min(value, limit)


@dataclass
class Shrinker:
    """Shrinks one config. Token ids that no longer fit the vocabulary are numbered anew, from the top."""

    width: int = WIDTH
    grouped: bool = True
    """Whether there may be fewer heads for keys and values than for queries."""
    vocabulary: int = VOCABULARY
    _ids: dict[int, int] = field(default_factory=dict)

    def arguments(self, config: PretrainedConfig) -> dict[str, Any]:
        """Return the arguments that make the class of `config` small."""
        found: dict[str, Any] = {}
        for name, value in fields(config):
            if isinstance(value, PretrainedConfig):
                nested = self.arguments(value)
                if nested and name in type(config).sub_configs:
                    generic = type(config).sub_configs[name] is not type(value)
                    found[name] = ({"model_type": value.model_type} if generic else {}) | nested
                continue
            small = self._value(name, value)
            if small != value:
                found[name] = small
        return found | self._pad(config, found) | self._layer_types(config, found)

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return self._list(name, list(value))
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        for pattern, rule in RULES:
            if pattern.search(name):
                return rule(self, name, value)
        return value

    def _list(self, name: str, values: list[Any]) -> Any:
        if not values or not all(type(value) is int for value in values):
            return values
        if TOKEN.search(name):
            return [self.token(name, value) for value in values]
        if re.search(r"^depths|layers$", name):
            return [1] * len(values)
        if re.search(r"image_size|img_size|input_size", name):
            return [min(value, IMAGE) for value in values]
        if re.search(r"hidden_sizes|dims?$|channels|embed_dims?|widths?$|conv_dim", name) and max(values) > 16:
            return [_ratio(value, values) * 8 for value in values]
        if re.search(r"heads$", name):
            return [_ratio(value, values) for value in values]
        return values

    def token(self, name: str, value: int) -> int:
        """Keep a small id, and give a large one the next number from the top of the vocabulary."""
        del name
        if value < self.vocabulary:
            return value
        if value not in self._ids:
            self._ids[value] = self.vocabulary - 1 - len(self._ids)
        return self._ids[value]

    def broad(self, name: str, value: int) -> int:
        """Shrink a width: the widths of a model stand in simple ratios to each other."""
        del name
        if value <= self.width:
            return value
        return self.width if value < 4096 * 2 else 2 * self.width

    def kv_heads(self, name: str, value: int) -> int:
        """Shrink the number of heads for keys and values."""
        del name
        return min(value, HEADS // 2 if self.grouped and value > 1 else value if value == 1 else HEADS)

    def _pad(self, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, int]:
        """A vocabulary needs an id to pad with, and to end with."""
        if not hasattr(config, "vocab_size") or getattr(config, "pad_token_id", 0) is not None:
            return {}
        taken = {found.get(name, getattr(config, name, None)) for name in ("bos_token_id", "eos_token_id")}
        return {"pad_token_id": next(number for number in range(3) if number not in taken)}

    def _layer_types(self, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, Any]:
        """Keep one layer of each kind."""
        kinds = list(dict.fromkeys(getattr(config, "layer_types", None) or ()))
        name = next((name for name in ("num_hidden_layers", "n_layer", "num_layers") if name in found), None)
        if len(kinds) < 2 or name is None:
            return {}
        count = max(LAYERS, len(kinds))
        return {name: count, "layer_types": (kinds * LAYERS)[:count]}


TOKEN = re.compile(r"_token_(id|index|ids)$|_token$")

RULES: list[tuple[re.Pattern[str], Number]] = [
    (re.compile(pattern), rule)
    for pattern, rule in (
        (TOKEN.pattern, Shrinker.token),
        (r"type_vocab", _at_most(4)),
        (r"vocab_size|n_words|n_token$|vocab$", _at_most(VOCABULARY)),
        (r"experts_per_tok|top_?k|experts_per_token|moe_k$", _at_most(2)),
        (r"(n_group|topk_group)$", _at_most(1)),
        (r"n_shared_experts|num_shared", _at_most(1)),
        (r"experts$", _at_most(EXPERTS)),
        (r"first_k_dense_replace", _at_most(1)),
        (r"(key_value|kv)_heads|attention_groups", Shrinker.kv_heads),
        (r"heads$|^n_head$|num_head$", _at_most(HEADS)),
        (r"rope_head_dim|rotary_dim", _at_most(HEAD_DIM)),
        (r"head_dim|d_kv$|kv_channels|key_length|value_length|head_size", _at_most(HEAD_DIM)),
        (r"max_2d_position", _at_most(1024)),
        (r"position_embeddings|n_positions|max_seq|seq_len|seq_length|context_length|max_length|_positions$", _at_most(POSITIONS)),
        (r"layers$|n_layer$|^depth$|_depth$|num_encoder_blocks$|blocks$", _at_most(LAYERS)),
        (r"sliding_window|attention_window|window_size|local_window|attention_chunk_size", _at_most(8)),
        (r"intermediate|ffn_dim|ffn_hidden|d_ff$|n_inner|mlp_dim|dim_feedforward|expert_dim|mlp_hidden", _at_most(FEED_FORWARD)),
        (r"_rank$|lora_dim", _at_most(16)),
        (r"image_size|img_size|input_size|sample_size|pretrain_size", _at_most(IMAGE)),
        (r"patch_size|encoder_stride", _at_most(PATCH)),
        (r"num_mel_bins|mel_bins|n_mels|feature_size", _at_most(16)),
        (r"num_queries|query_tokens|num_latents|num_query", _at_most(6)),
        (r"chunk_size|chunk_length", _at_most(8)),
        (r"hidden_size|d_model|n_embd|embed_dim|^dim$|emb_dim|hidden_dim|embedding_size|embedding_dim|_dim$|width$|_embed$|d_embed|inner_dim|n_embed|_channels$|proj_size|_features$|_size$", Shrinker.broad),
    )
]
"""Part of a key → how its number shrinks; the first that fits counts."""


def fields(config: PretrainedConfig) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a config's own arguments."""
    common = set(getattr(PretrainedConfig, "__dataclass_fields__", {}))
    for name in getattr(config, "__dataclass_fields__", {}):
        if (name not in common or name in type(config).sub_configs) and not name.startswith("_"):
            yield name, getattr(config, name, None)


def _ratio(value: int, values: list[int]) -> int:
    return max(1, round(value / min(values)))
