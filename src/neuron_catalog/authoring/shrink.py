"""Make a config small: every size shrinks by the same rules, so that sizes which must agree still do.

A rule is chosen by the name of a key, as transformers spells it; equal numbers under such names become equal
small numbers, wherever they stand in nested configs. What comes out are arguments for the config class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PretrainedConfig, ResNetConfig, TimmBackboneConfig

HEADS = 4
LAYERS = 2
VOCABULARY = 99
POSITIONS = 64
IMAGE = 32
PATCH = 8
FEED_FORWARD = 64
EXPERTS = 4
COLOURS = 4
"""An image has so many channels at most; such a number in a list of widths stays."""
ROTARY = 4
CHANNELS = 16
"""Divisor of the widths of convolutions, and the narrowest one where heads stand in a ratio to them."""

Number = Callable[["Shrinker", int], int]


def _at_most(limit: int) -> Number:
    return lambda _shrinker, value: min(value, limit)


@dataclass
class Shrinker:
    """One way to shrink. Token ids that no longer fit the vocabulary are numbered anew, from the top."""

    width: int = 32
    image: int = IMAGE
    grouped: bool = True
    """Whether there may be fewer heads for keys and values than for queries."""
    says_head_dim: bool = False
    """Whether a head's width that the defaults leave open is said."""
    derives: bool = False
    """Whether what the class derives from other sizes is left to it."""
    says_sections: bool = False
    """Whether the sections of rotary embeddings of images are said."""
    _ids: dict[int, int] = field(default_factory=dict)

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.width // HEADS

    def arguments(self, config: PretrainedConfig) -> dict[str, Any]:
        """Return the arguments that make the class of `config` small, nested configs included."""
        found: dict[str, Any] = {}
        for name, value in fields(config):
            if isinstance(value, PretrainedConfig):
                found |= self._nested(config, name, value)
                continue
            if self.derives and _is_derived(config, name, value):
                continue
            small = self._value(name, value, config)
            if small != value:
                found[name] = small
        found |= self._depth(config, found)
        return found | self._tokens(config, found)

    def _nested(self, config: PretrainedConfig, name: str, value: PretrainedConfig) -> dict[str, Any]:
        if isinstance(value, TimmBackboneConfig):
            return TINY_BACKBONE
        nested = _own(value) | self.arguments(value) | _stages(value)
        declared = type(config).sub_configs.get(name)
        generic = declared is not type(value)
        return {name: ({"model_type": value.model_type} if generic else {}) | nested} if nested else {}

    def _value(self, name: str, value: Any, config: PretrainedConfig) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, (list, tuple)):
            return self._list(name, value, config)
        if value is None:
            return self._unsaid(name)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        beside = self._beside(name, value, config)
        if beside is not None:
            return beside
        for pattern, rule in RULES:
            if pattern.search(name):
                return rule(self, value)
        return value

    def _unsaid(self, name: str) -> Any:
        """What is said where the defaults leave a size or an id open."""
        if name == "vocab_size":
            return VOCABULARY
        if name == "head_dim" and self.says_head_dim:
            return self.head_dim
        if name == "rope_parameters" and self.says_sections:
            return self._mapping({"rope_type": "default", "rope_theta": 10000.0})
        return self.token(VOCABULARY + len(self._ids)) if PLACEHOLDER.search(name) else None

    def _beside(self, name: str, value: int, config: PretrainedConfig) -> int | None:
        """Shrink a number whose meaning depends on another key of its config; None if it does not."""
        if name == "intermediate_size" and value < (_get(config, "hidden_size") or 0):
            return max(1, self.width * value // int(config.hidden_size))  # a bottleneck
        if name == "window_size" and (hasattr(config, "image_size") or hasattr(config, "spec_size")):
            return min(value, 2)
        if name == "window_size" and hasattr(config, "downsample_rate"):
            return min(value, 2 * int(config.downsample_rate))
        if name == "num_mel_bins" and hasattr(config, "spec_size"):  # bands become a square image
            return min(value, IMAGE)
        if name == "head_dim" and hasattr(config, "expand"):
            return self.state_head(value)
        if name == "head_dim" and hasattr(config, "qk_rope_head_dim"):
            return min(value, ROTARY)
        return None

    def _mapping(self, value: Mapping[str, Any]) -> Any:
        """Rotary embeddings of images divide half a head among time, height and width."""
        if not ("mrope_section" in value or (self.says_sections and "rope_type" in value)):
            return value
        half = self.head_dim // 2
        first = half - 2 * (half // 3) if half % 3 else half // 3
        sections = [first, half // 3, half // 3]
        return {**value, "mrope_section": sections}

    def _list(self, name: str, value: Any, config: PretrainedConfig) -> Any:
        values = list(value)
        if name == "attention_types":  # kinds of layer, and how often they come
            return [[values[0][0], 1]]
        if not values or not all(type(each) is int for each in values):
            return value
        if TOKEN.search(name):
            return [self.token(each) for each in values]
        if re.search(r"^depths|layers$", name):
            return [1] * len(values)
        if re.search(r"out_indices$", name):
            first = 0 if min(values) < 4 or max(values) > len(values) else min(values)
            return list(range(first, first + len(values)))
        if re.search(r"image_size|img_size|input_size", name):
            return [min(each, self.image) for each in values]
        if (
            re.search(r"hidden_sizes|dims?$|channels|embed_dims?|widths?$|conv_dim|neck", name)
            and max(values) > 16
        ):
            in_ratio = any(isinstance(each, list) for key, each in fields(config) if key.endswith("heads"))
            small = [_ratio(each, values) * CHANNELS if in_ratio else _divided(each) for each in values]
            return [new if old > COLOURS else old for old, new in zip(values, small, strict=True)]
        if re.search(r"heads$", name):
            return [_ratio(each, values) for each in values]
        return value

    def token(self, value: int) -> int:
        """Keep a small id, and give a large one the next number from the top of the vocabulary."""
        if value < VOCABULARY:
            return value
        if value not in self._ids:
            self._ids[value] = VOCABULARY - 1 - len(self._ids)
        return self._ids[value]

    def broad(self, value: int) -> int:
        """Shrink a width: all that are larger become one."""
        return min(value, self.width)

    def kv_heads(self, value: int) -> int:
        """Shrink the number of heads for keys and values."""
        return min(value, HEADS // 2 if self.grouped and value > 1 else value if value == 1 else HEADS)

    def side(self, value: int) -> int:
        """Shrink the side of an image."""
        return min(value, self.image)

    def one_head(self, value: int) -> int:
        """Shrink the width of a head."""
        return min(value, self.head_dim)

    def state_head(self, value: int) -> int:
        """Shrink the width of a head of a state-space layer, which is twice as wide as the model."""
        return min(value, 2 * self.head_dim)

    def _tokens(self, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, int]:
        """A vocabulary needs an id to pad with and one to end with, and a decoder one to begin with."""
        if not any(name == "vocab_size" for name, _ in fields(config)):
            return {}
        ids = {
            name: found.get(name, _get(config, name))
            for name in ("bos_token_id", "eos_token_id", "pad_token_id")
        }
        taken = {each for value in ids.values() for each in (value if isinstance(value, list) else [value])}
        free = iter(sorted({0, 1, 2, 3, 4} - taken))
        new = {name: next(free) for name in ("pad_token_id", "eos_token_id") if ids[name] is None}
        if config.is_encoder_decoder and _get(config, "decoder_start_token_id") is None:
            new["decoder_start_token_id"] = new.get("pad_token_id", ids["pad_token_id"] or 0)
        return new

    def _depth(self, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, Any]:
        """Keep one layer of each kind, and as many layers as there are outputs of layers."""
        names = dict(fields(config))
        name = next((each for each in DEPTHS if each in names), None)
        kinds = list(dict.fromkeys(_get(config, "layer_types") or ()))
        asked = [len(value) for key, value in found.items() if key.endswith("out_indices")]
        if name is None or not isinstance(names[name], int):
            return {}
        if asked:
            return {name: max(asked)}
        if len(kinds) < 2:
            return {}
        count = max(LAYERS, len(kinds))
        return {name: count} | ({"layer_types": (kinds * LAYERS)[:count]} if "layer_types" in names else {})


DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")

TOKEN = re.compile(r"_token_(id|index|ids)$|_token$")

PLACEHOLDER = re.compile(r"^(audio|image|video)_token_(id|index)$")

TINY_BACKBONE: dict[str, Any] = {
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
    "backbone_config": {
        "model_type": ResNetConfig.model_type,
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 24, 32],
        "depths": [1, 1, 1, 1],
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    },
}
"""In place of a backbone from another package: any convolutional network that transformers has will do."""

RULES: list[tuple[re.Pattern[str], Number]] = [
    (re.compile(pattern), rule)
    for pattern, rule in (
        (TOKEN.pattern, Shrinker.token),
        (r"type_vocab", _at_most(4)),
        (r"vocab_size|n_words|n_token$|vocab$", _at_most(VOCABULARY)),
        (r"(n_group|topk_group)$|n_shared_experts|num_shared|first_k_dense_replace", _at_most(1)),
        (r"experts_per_tok|top_?k|experts_per_token|moe_k$", _at_most(2)),
        (r"layer_period$", _at_most(2)),
        (r"layer_offset$", _at_most(1)),
        (r"experts$", _at_most(EXPERTS)),
        (r"(key_value|kv)_heads|attention_groups", Shrinker.kv_heads),
        (r"heads$|^n_head$|num_head$", _at_most(HEADS)),
        (r"mamba_(d_head|head_?dim)", Shrinker.state_head),
        (r"rotary_dim|rope_head_dim", _at_most(ROTARY)),
        (r"upsample_groups$", Shrinker.broad),  # as many as channels
        (r"num_filters$", _at_most(4)),  # the first of widths that double
        (r"n_groups$", _at_most(1)),
        (r"feature_projection_input_dim|input_feat", _at_most(16)),
        (r"head_dim|d_kv$|kv_channels|key_length|value_length|head_size", Shrinker.one_head),
        (r"max_2d_position", _at_most(1024)),
        (r"coordinate_size", _at_most(6)),
        (r"shape_size", _at_most(4)),
        (
            r"position_embeddings|n_positions|max_seq|seq_len|seq_length|context_length|max_length|_positions$",
            _at_most(POSITIONS),
        ),
        (r"layers$|n_layer$|^depth$|_depth$|num_encoder_blocks$|blocks$", _at_most(LAYERS)),
        (r"sliding_window|attention_window|window_size|local_window|attention_chunk_size", _at_most(8)),
        (
            r"intermediate|ffn_dim|ffn_hidden|d_ff$|n_inner|mlp_dim|dim_feedforward|expert_dim|mlp_hidden",
            _at_most(FEED_FORWARD),
        ),
        (r"spec_size$", _at_most(2 * IMAGE)),  # halved at each of four stages
        (r"_rank$|lora_dim", _at_most(16)),
        (r"image_size|img_size|input_size|sample_size|pretrain_size", Shrinker.side),
        (r"patch_size|encoder_stride", _at_most(PATCH)),
        (r"num_mel_bins|mel_bins|n_mels|feature_size", _at_most(16)),
        (r"tokens_per_image", _at_most(4)),
        (r"num_queries|query_tokens|num_latents|num_query", _at_most(6)),
        (r"tokenizer_chunk_size$", lambda _shrinker, value: value),  # a multiple of what the codec says
        (r"patch_embeds_hidden_size$", _at_most(4)),  # the first of four widths that double
        (r"chunk_\w+_context$", _at_most(2)),
        (r"chunk_size|chunk_length", _at_most(8)),
        (r"num_groups$", _at_most(4)),
        (
            r"hidden_size|d_model|n_embd|embed_dim|^dim$|emb_dim|hidden_dim|embedding_size|embedding_dim|_dim$|"
            r"width$|_embed$|d_embed|inner_dim|n_embed|_channels$|proj_size|_features$|_size$",
            Shrinker.broad,
        ),
    )
]
"""Part of a key → how its number shrinks; the first that fits counts."""


def fields(config: PretrainedConfig) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a config's own arguments."""
    common = set(getattr(PretrainedConfig, "__dataclass_fields__", {}))
    for name in getattr(config, "__dataclass_fields__", {}):
        if (name not in common or name in type(config).sub_configs) and not name.startswith("_"):
            yield name, _get(config, name)


def _own(config: PretrainedConfig) -> dict[str, Any]:
    """What a nested config says otherwise than its class does: plain values only."""
    default = dict(fields(type(config)()))
    plain = {name: value for name, value in fields(config) if isinstance(value, (bool, int, float, str))}
    return {name: value for name, value in plain.items() if value != default.get(name)}


def _stages(config: PretrainedConfig) -> dict[str, Any]:
    """A backbone gives as many feature maps as before: of its first layers, or of its stages."""
    indices = list(_get(config, "out_indices") or ())
    if len(indices) < 2 or "_out_indices" not in getattr(config, "__dataclass_fields__", {}):
        return {}
    name = next((each for each in DEPTHS if each in config.__dataclass_fields__), None)
    if name is None:
        return {"out_indices": indices}
    return {name: len(indices), "out_indices": list(range(1, len(indices) + 1))}


def _is_derived(config: PretrainedConfig, name: str, value: Any) -> bool:
    return value is not None and config.__dataclass_fields__[name].default is None


def _get(config: PretrainedConfig, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except RuntimeError:  # transformers' way to say that each layer has a value of its own
        return None


def _divided(value: int) -> int:
    return max(8, -(-value // CHANNELS // 8) * 8)


def _ratio(value: int, values: list[int]) -> int:
    return max(1, round(value / min(values)))
