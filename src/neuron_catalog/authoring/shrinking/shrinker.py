"""Make a config small: every size shrinks by the same rules, so that sizes which must agree still do.

A rule is chosen by the name of a key, as transformers spells it; equal numbers under such names become equal
small numbers, wherever they stand in nested configs. What comes out are arguments for the config class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig, ResNetConfig, TimmBackboneConfig

from neuron_catalog.authoring.shrinking.config_facts import (
    DEPTHS,
    fields,
    get,
    is_derived,
    kinds_in_code,
    own,
    stages,
    type_of,
)
from neuron_catalog.authoring.shrinking.limits import IMAGE, LARGE, LAYERS, PATCH, ROTARY, VOCABULARY
from neuron_catalog.authoring.shrinking.list_rules import shrink_list
from neuron_catalog.authoring.shrinking.number_rules import TOKEN, shrink_number
from neuron_catalog.authoring.shrinking.scale import Scale
from neuron_catalog.authoring.shrinking.ways import PLAIN, Way


class Shrinker:
    """One way to shrink."""

    def __init__(self, way: Way = PLAIN) -> None:
        self.way = way
        self.scale = Scale(way)

    def arguments(self, config: PretrainedConfig) -> dict[str, Any]:
        """Return the arguments that make the class of `config` small, nested configs included."""
        found: dict[str, Any] = {}
        for name, value in fields(config):
            if value is None and name == "vision_config" and name in type(config).sub_configs:
                value = type(config).sub_configs[name]()  # eyes that the defaults leave out
            if isinstance(value, PretrainedConfig):
                found |= self._nested(config, name, value)
                continue
            if self.way.leaves_derived and is_derived(config, name, value):
                continue
            small = self._value(name, value, config)
            if small != value:
                found[name] = small
        found |= self._depth(config, found)
        return found | self._tokens(config, found)

    def _nested(self, config: PretrainedConfig, name: str, value: PretrainedConfig) -> dict[str, Any]:
        if isinstance(value, TimmBackboneConfig):
            return TINY_BACKBONE
        nested = own(value) | self.arguments(value) | stages(value, every=self.way.says_open)
        declared = type(config).sub_configs.get(name)
        generic = declared is not type(value)
        return {name: ({"model_type": value.model_type} if generic else {}) | nested} if nested else {}

    def _value(self, name: str, value: Any, config: PretrainedConfig) -> Any:
        if value is None or value == {}:
            return self._open(name, value, config)
        if name.endswith("patch_to_query_dict"):  # a projector's number of queries for a number of patches
            return {str((self.way.image // PATCH) ** 2): PATCH // 2}
        if isinstance(value, Mapping):
            return self._mapping(name, value)
        if isinstance(value, (list, tuple)):
            return shrink_list(self.scale, config, name, value)
        if ROTATED.search(name) and value:
            return self.scale.rotated_part(value)
        if name == "depth_coefficient":
            return min(value, 1.0)  # more layers for larger images
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        beside = self._beside(name, value, config)
        return shrink_number(self.scale, name, value) if beside is None else beside

    def _beside(self, name: str, value: int, config: PretrainedConfig) -> int | None:
        """Shrink a number whose meaning depends on another key of its config; None if it does not."""
        if name == "attention_hidden_size" and value == 2 * get(config, "hidden_size"):
            return 2 * self.scale.width(
                value
            )  # attention sees the embeddings beside what layers made of them
        if name == "intermediate_size" and value < (get(config, "hidden_size") or 0):
            return max(1, self.way.width * value // int(config.hidden_size))  # a bottleneck
        if name == "intermediate_size" and (ratio := get(config, "pixel_shuffle_ratio")):
            return min(
                value, int(self.way.width / ratio**2)
            )  # the channels of a block of patches become one's
        if name == "vision_output_dim" and (layers := get(config, "intermediate_layers_indices")):
            return self.way.width * (1 + len(layers))  # the last layer's output beside those of others
        if name == "window_size" and (merged := get(config, "spatial_merge_size")):
            return 2 * PATCH * int(merged)  # in pixels, of two merged patches
        if name == "window_size" and (hasattr(config, "image_size") or hasattr(config, "spec_size")):
            return min(value, 2)
        if name == "window_size" and hasattr(config, "downsample_rate"):
            return min(value, 2 * int(config.downsample_rate))
        if name == "num_mel_bins" and hasattr(config, "spec_size"):  # bands become a square image
            return min(value, IMAGE)
        if name == "head_dim" and hasattr(config, "expand"):
            return self.scale.state_head_dim(value)
        if name == "head_dim" and "qk_rope_head_dim" in config.__dataclass_fields__:
            return min(value, ROTARY)
        return None

    def _open(self, name: str, value: Any, config: PretrainedConfig) -> Any:
        """Say what the defaults leave open: a size as large as sizes may be, or the first of the choices."""
        if name == "vocab_size" and value is None:
            return VOCABULARY
        if PLACEHOLDER.search(name):
            return self.scale.new_token()
        if name == "head_dim" and (self.way.says_head_dim or self.way.says_open):
            return self.way.head_dim
        if name == "rope_parameters" and value is None and self.way.says_sections:
            return self._mapping(name, ROTARY_EMBEDDING)
        if name.startswith("default_") and (choices := get(config, f"{name.removeprefix('default_')}s")):
            return next(iter(choices))
        if not self.way.says_open:
            return value
        if name == "layer_types":
            return (kinds_in_code(config) * LAYERS)[: max(LAYERS, len(kinds_in_code(config)))] or value
        if name == "rope_parameters" and value == {}:
            return dict.fromkeys(get(config, "layer_types") or (), ROTARY_EMBEDDING)
        small = shrink_number(self.scale, name, LARGE) if INTEGER.search(type_of(config, name)) else LARGE
        return value if small == LARGE or re.search(TOKEN, name) else small

    def _mapping(self, name: str, value: Mapping[str, Any]) -> Any:
        """Rotary embeddings of images divide half a head among time, height and width."""
        small = {
            key: self._mapping(key, each)
            if isinstance(each, Mapping)
            else shrink_number(self.scale, name, each)
            if type(each) is int
            else self.scale.rotated_part(each)
            if ROTATED.search(key) and each
            else each
            for key, each in value.items()
        }
        if not ("mrope_section" in value or (self.way.says_sections and "rope_type" in value)):
            return small
        half = int(self.way.head_dim * small.get("partial_rotary_factor", 1)) // 2
        first = half - 2 * (half // 3) if half % 3 else half // 3
        sections = [first, half // 3, half // 3]
        return {**small, "mrope_section": sections}

    def _tokens(self, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, int]:
        """A vocabulary needs an id to pad with and one to end with, and a decoder one to begin with."""
        if not any(name == "vocab_size" for name, _ in fields(config)):
            return {}
        ids = {
            name: found.get(name, get(config, name))
            for name in ("bos_token_id", "eos_token_id", "pad_token_id")
        }
        taken = {each for value in ids.values() for each in (value if isinstance(value, list) else [value])}
        free = iter(sorted({0, 1, 2, 3, 4} - taken))
        new = {name: next(free) for name in ("pad_token_id", "eos_token_id") if ids[name] is None}
        if config.is_encoder_decoder and get(config, "decoder_start_token_id") is None:
            new["decoder_start_token_id"] = new.get("pad_token_id", ids["pad_token_id"] or 0)
        return new

    def _depth(self, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, Any]:
        """Keep as many layers as there are outputs of layers, or one of each kind."""
        names = dict(fields(config))
        name = next((each for each in DEPTHS if each in names), None)
        asked = [len(value) for key, value in found.items() if key.endswith("out_indices")]
        if name is None or not isinstance(names[name], int):
            return {}
        if len(names.get("depths") or ()) == names[name]:  # a layer is a stage with a depth of its own
            return {name: names[name]}
        if asked:
            return {name: max(asked)}
        return self._layers(config, name)

    def _layers(self, config: PretrainedConfig, depth: str) -> dict[str, Any]:
        """Keep one layer of each kind, and what is said of it in lists that have an entry for each layer.

        Where the last layers take keys and values from earlier ones, each kind is kept among both.
        """
        names = dict(fields(config))
        lists = {
            key: list(value)
            for key, value in names.items()
            if isinstance(value, (list, tuple)) and len(value) == names[depth]
        }
        rows = [*zip(*(values for key, values in lists.items() if KINDS.search(key)), strict=True)]
        kept = [rows.index(row) for row in dict.fromkeys(rows)]
        if len(kept) < 2:
            return {}
        shared = {key: len(kept) for key, value in names.items() if SHARED.search(key) and value}
        kept *= 2 if shared else self.way.layers_of_each_kind
        said = {key: self._entries(key, values, kept, config) for key, values in lists.items()}
        return {depth: len(kept), **said, **shared}

    def _entries(self, name: str, values: list[Any], kept: list[int], config: PretrainedConfig) -> list[Any]:
        """Return the entries of the layers that are kept; what numbers the layers numbers those."""
        if values == list(range(len(values))):
            return list(range(len(kept)))
        return [self._value(name.removesuffix("_per_layer"), values[layer], config) for layer in kept]


KINDS = re.compile(r"^(layer_types|mlp_layer_types|indexer_types|layers_block_type)$")
"""Lists of what kind each layer is, or a part of it."""

PLACEHOLDER = re.compile(r"^(audio|image|video)_token_(id|index)$")

ROTATED = re.compile(r"^(partial_rotary_factor|rotary_pct)$")

SHARED = re.compile(r"kv_shared_layers$")

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


ROTARY_EMBEDDING = {"rope_type": "default", "rope_theta": 10000.0}

INTEGER = re.compile(r"\bint\b")
