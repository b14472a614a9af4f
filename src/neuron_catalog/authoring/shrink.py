"""Make a config small: every size shrinks by the same rules, so that sizes which must agree still do.

A rule is chosen by the name of a key, as transformers spells it; equal numbers under such names become equal
small numbers, wherever they stand in nested configs. What comes out are arguments for the config class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig, ResNetConfig, TimmBackboneConfig

from neuron_catalog.authoring.shrink_rules import (
    IMAGE_CODES,
    IMAGE_TOKEN,
    LAYERS,
    LEFT_OPEN,
    PATCH,
    ROTARY,
    VOCABULARY,
    Scale,
)


@dataclass
class Shrinker(Scale):
    """One way to shrink."""

    says_head_dim: bool = False
    """Whether a head's width that the defaults leave open is said."""
    says_sections: bool = False
    """Whether the sections of rotary embeddings of images are said."""

    def arguments(self, config: PretrainedConfig) -> dict[str, Any]:
        """Return the arguments that make the class of `config` small, nested configs included."""
        found: dict[str, Any] = {}
        for name, value in fields(config):
            if value is None and name == "vision_config" and name in type(config).sub_configs:
                value = type(config).sub_configs[name]()  # eyes that the defaults leave out
            if isinstance(value, PretrainedConfig):
                found |= self._nested(config, name, value)
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
        if value is None:
            return self._left_open(name)
        if name.endswith("patch_to_query_dict"):  # a projector's number of queries for a number of patches
            return {str((self.image // PATCH) ** 2): PATCH // 2}
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, (list, tuple)):
            return self._list(name, value, config)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return self._related(name, value, config)

    def _left_open(self, name: str) -> Any:
        """Say what the defaults leave open, where a model cannot be built or shown an image without it."""
        if name == "vocab_size":
            return VOCABULARY
        if name == "head_dim" and self.says_head_dim:
            return self.head_dim
        if name == "rope_parameters" and self.says_sections:
            return self._mapping({"rope_type": "default", "rope_theta": 10000.0})
        if IMAGE_TOKEN.search(name):
            return self.token(LEFT_OPEN)
        return IMAGE_CODES if name == "vocabulary_map" else None

    def _related(self, name: str, value: int, config: PretrainedConfig) -> int:
        """Shrink a number, with an eye on other keys that say what it is."""
        if name == "window_size" and hasattr(config, "image_size"):
            return min(value, 2)
        if name == "intermediate_size" and (ratio := _get(config, "pixel_shuffle_ratio")):
            return min(value, int(self.width / ratio**2))  # the channels of a block of patches become one's
        if name == "vision_output_dim" and (layers := _get(config, "intermediate_layers_indices")):
            return self.width * (1 + len(layers))  # the last layer's output beside those of others
        if name == "head_dim" and hasattr(config, "expand"):
            return self.state_head(value)
        if name == "head_dim" and hasattr(config, "qk_rope_head_dim"):
            return min(value, ROTARY)
        return self.number(name, value)

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
        in_ratio = any(isinstance(each, list) for key, each in fields(config) if key.endswith("heads"))
        small = self.numbers(name, values, in_ratio=in_ratio)
        return value if small is values else small

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
        if len(names.get("depths") or ()) == names[name]:  # a layer is a stage with a depth of its own
            return {name: names[name]}
        if asked:
            return {name: max(asked)}
        if len(kinds) < 2:
            return {}
        count = max(LAYERS, len(kinds))
        return {name: count} | ({"layer_types": (kinds * LAYERS)[:count]} if "layer_types" in names else {})


DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")

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


def _get(config: PretrainedConfig, name: str) -> Any:
    try:
        return getattr(config, name, None)
    except RuntimeError:  # transformers' way to say that each layer has a value of its own
        return None
