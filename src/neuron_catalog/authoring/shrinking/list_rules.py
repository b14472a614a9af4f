"""How a list of a config shrinks: the layers it names exist, and widths and heads of stages stay in ratio."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PretrainedConfig

from neuron_catalog.authoring.shrinking.config_facts import fields, get
from neuron_catalog.authoring.shrinking.limits import CHANNELS, LAYERS, NARROW
from neuron_catalog.authoring.shrinking.number_rules import TOKEN
from neuron_catalog.authoring.shrinking.scale import Scale, divided

COLOURS = 4
"""An image has so many channels at most; such a number in a list of widths stays."""

Shrink = Callable[[Scale, PretrainedConfig, list[Any]], list[Any]]


@dataclass(frozen=True)
class ListRule:
    """What the lists under some names are, and how they shrink."""

    what: str
    names: str
    """Pattern of a part of the name."""
    shrink: Shrink


def shrink_list(scale: Scale, config: PretrainedConfig, name: str, value: Sequence[Any]) -> Sequence[Any]:
    """Return what a list becomes; one that no rule knows comes back as it is."""
    values = list(value)
    if rule := _rule(LISTS, name):
        return rule.shrink(scale, config, values)
    if not values and scale.way.says_open and name.endswith("scale_factors"):  # left open, too
        return [1.0]
    if not values or not all(type(each) is int for each in values):
        return value
    if rule := _rule(LISTS_OF_NUMBERS, name):
        return rule.shrink(scale, config, values)
    small = _proportions(scale, config, name, values)
    return value if small is None else small


def _rule(rules: tuple[ListRule, ...], name: str) -> ListRule | None:
    return next((rule for rule in rules if re.search(rule.names, name)), None)


def map_sides(config: PretrainedConfig, values: list[Any], image: int) -> list[Any]:
    """Shrink the sides of feature maps as the image shrinks that they are made of."""
    sides = [get(each, "image_size") for each in (config, get(config, "backbone_config")) if each is not None]
    whole = next((max(side) if isinstance(side, (list, tuple)) else side for side in sides if side), image)
    return [[each * min(image, whole) // whole for each in sizes] for sizes in values]


def _each(shrink: Callable[[Scale, int], int]) -> Shrink:
    return lambda scale, _config, values: [shrink(scale, each) for each in values]


def _existing_layers(_scale: Scale, _config: PretrainedConfig, values: list[int]) -> list[int]:
    return [max(each, -LAYERS) if each < 0 else min(each, LAYERS - 1) for each in values]


def _ranks(_scale: Scale, _config: PretrainedConfig, values: list[int]) -> list[int]:
    return [sorted({*values}).index(each) for each in values]


LISTS = (
    ListRule(
        "sides of feature maps",
        r"feature_sizes$",
        lambda scale, config, values: map_sides(config, values, scale.way.image),
    ),
    ListRule(
        "kinds of layer, and how often they come",
        r"^attention_types$",
        lambda _scale, _config, values: [[values[0][0], 1]],
    ),
    ListRule(
        "sizes of images that are cut into tiles",
        r"^image_grid_pinpoints$",
        lambda scale, _config, _values: [
            [scale.way.image, 2 * scale.way.image],
            [2 * scale.way.image, scale.way.image],
        ],
    ),
)
"""Lists whose entries may be lists."""

LISTS_OF_NUMBERS = (
    ListRule("token ids", TOKEN, _each(Scale.token)),
    ListRule("layers to read", r"feature_layer$|layers_indices$|attn_indexes$", _existing_layers),
    ListRule(
        "layers of another kind than the first",
        r"block_indexes$|visual_indexes$",
        lambda _scale, _config, _values: [LAYERS - 1],
    ),
    ListRule(
        "how often each stage repeats its layer",
        r"^depths|layers$|repeats$|blocks_per_stage$|num_blocks$",
        lambda _scale, _config, values: [1] * len(values),
    ),
    ListRule(
        "layers or stages to give out: the first ones",
        r"out_indices$",
        lambda _scale, _config, values: list(range(len(values))),
    ),
    ListRule("layers to read, of which as many are kept", r"hook_ids$", _ranks),
    ListRule(
        "sides of images",
        r"image_size|img_size|input_size",
        _each(Scale.image),
    ),
)

WIDTHS = r"hidden_sizes|dims?$|channels|channel_list$|embed_dims?|widths?$|conv_dim|neck|out_features$"


def _proportions(scale: Scale, config: PretrainedConfig, name: str, values: list[int]) -> list[int] | None:
    """Shrink widths and heads of stages; None if they are neither, or small enough."""
    if scale.way.widths == "kept":
        return None
    if re.search(WIDTHS, name):
        if len(values) > 1 and len({*values}) == 1:  # one width, said of each stage
            return [scale.width(each) for each in values]
        if max(values) > NARROW:
            return _stage_widths(scale, config, values)
    if re.search(r"heads$", name):
        return [_ratio(each, values) for each in values]
    return None


def _stage_widths(scale: Scale, config: PretrainedConfig, values: list[int]) -> list[int]:
    """Where stages have heads of their own, widths stand in the same ratios as these."""
    in_ratio = scale.way.widths != "divided" and _has_heads_of_stages(config)
    small = [CHANNELS * _ratio(each, values) if in_ratio else divided(each) for each in values]
    return [new if old > COLOURS else old for old, new in zip(values, small, strict=True)]


def _has_heads_of_stages(config: PretrainedConfig) -> bool:
    return any(isinstance(each, (list, tuple)) for name, each in fields(config) if name.endswith("heads"))


def _ratio(value: int, values: list[int]) -> int:
    return max(1, round(value / min(values)))
