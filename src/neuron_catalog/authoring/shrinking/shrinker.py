"""Make a config small: every size shrinks by the same rules, so that sizes which must agree still do.

A rule is chosen by the name of a key, as transformers spells it; equal numbers under such names become equal
small numbers, wherever they stand in nested configs. What comes out are arguments for the config class.
"""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig, ResNetConfig, TimmBackboneConfig

from neuron_catalog.authoring.shrinking.config_facts import fields, is_derived, own
from neuron_catalog.authoring.shrinking.gaps import fill_special_tokens
from neuron_catalog.authoring.shrinking.layers import keep_layers, keep_maps
from neuron_catalog.authoring.shrinking.scale import Scale
from neuron_catalog.authoring.shrinking.values import shrink_value
from neuron_catalog.authoring.shrinking.ways import PLAIN, Way

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


class Shrinker:
    """Walks over a config and those nested in it, and shrinks each value in one way."""

    def __init__(self, way: Way = PLAIN) -> None:
        self.way = way
        self.scale = Scale(way)

    def arguments(self, config: PretrainedConfig) -> dict[str, Any]:
        """Return the arguments that make the class of `config` small, nested configs included."""
        found: dict[str, Any] = {}
        for name, value in fields(config):
            if value is None:
                value = _left_out(config, name)
            if isinstance(value, PretrainedConfig):
                found |= self._nested(config, name, value)
            elif not (self.way.leaves_derived and is_derived(config, name, value)):
                small = shrink_value(self.scale, config, name, value)
                if small != value:
                    found[name] = small
        found |= keep_layers(self.scale, config, found)
        return found | fill_special_tokens(config, found)

    def _nested(self, config: PretrainedConfig, name: str, value: PretrainedConfig) -> dict[str, Any]:
        """Return the argument for a nested config; it names its type unless `config` declares its class."""
        if isinstance(value, TimmBackboneConfig):
            return TINY_BACKBONE
        nested = own(value) | self.arguments(value) | keep_maps(value, every=self.way.says_open)
        if not nested:
            return {}
        declared = type(config).sub_configs.get(name)
        kind = {} if declared is type(value) else {"model_type": value.model_type}
        return {name: kind | nested}


def _left_out(config: PretrainedConfig, name: str) -> PretrainedConfig | None:
    """Return a nested config that the defaults leave out, if it is one of eyes: no model is tried without."""
    parts = type(config).sub_configs
    return parts[name]() if name == "vision_config" and name in parts else None
