"""How a number shrinks whose meaning depends on another key of the same config, its neighbour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transformers import PretrainedConfig

from neuron_catalog.authoring.shrinking.config_facts import get
from neuron_catalog.authoring.shrinking.limits import IMAGE, PATCH, ROTARY
from neuron_catalog.authoring.shrinking.scale import Scale

Fits = Callable[[PretrainedConfig, int], bool]
Shrink = Callable[[Scale, PretrainedConfig, int], int]


@dataclass(frozen=True)
class NeighbourRule:
    """How a number shrinks if its config fits."""

    name: str
    fits: Fits
    shrink: Shrink
    why: str


def shrink_beside(scale: Scale, config: PretrainedConfig, name: str, value: int) -> int | None:
    """Return what a number becomes for its neighbours, or None if its name says enough."""
    for rule in RULES:
        if rule.name == name and rule.fits(config, value):
            return rule.shrink(scale, config, value)
    return None


def _twice(neighbour: str) -> Fits:
    return lambda config, value: bool(value == 2 * get(config, neighbour))


def _below(neighbour: str) -> Fits:
    return lambda config, value: bool(value < (get(config, neighbour) or 0))


def _says(neighbour: str) -> Fits:
    return lambda config, _value: bool(get(config, neighbour))


def _has(*neighbours: str) -> Fits:
    return lambda config, _value: any(hasattr(config, each) for each in neighbours)


def _declares(neighbour: str) -> Fits:
    """Unlike `_has`, passes over a neighbour that is computed from the number itself."""
    return lambda config, _value: neighbour in config.__dataclass_fields__


def _at_most(limit: int) -> Shrink:
    return lambda _scale, _config, value: min(value, limit)


RULES = (
    NeighbourRule(
        "attention_hidden_size",
        _twice("hidden_size"),
        lambda scale, _config, value: 2 * scale.width(value),
        why="Attention sees the embeddings beside what layers made of them.",
    ),
    NeighbourRule(
        "intermediate_size",
        _below("hidden_size"),
        lambda scale, config, value: max(1, scale.way.width * value // int(config.hidden_size)),
        why="A bottleneck is narrower than what it connects.",
    ),
    NeighbourRule(
        "intermediate_size",
        _says("pixel_shuffle_ratio"),
        lambda scale, config, value: min(value, int(scale.way.width / config.pixel_shuffle_ratio**2)),
        why="The channels of a block of patches become those of one.",
    ),
    NeighbourRule(
        "vision_output_dim",
        _says("intermediate_layers_indices"),
        lambda scale, config, _value: scale.way.width * (1 + len(config.intermediate_layers_indices)),
        why="The output of the last layer stands beside those of others.",
    ),
    NeighbourRule(
        "window_size",
        _says("spatial_merge_size"),
        lambda _scale, config, _value: 2 * PATCH * int(config.spatial_merge_size),
        why="It is in pixels: two merged patches side by side.",
    ),
    NeighbourRule(
        "window_size",
        _has("image_size", "spec_size"),
        _at_most(2),
        why="It is in patches, of which a small image has few.",
    ),
    NeighbourRule(
        "window_size",
        _has("downsample_rate"),
        lambda _scale, config, value: min(value, 2 * int(config.downsample_rate)),
        why="It is in frames, some of which become one.",
    ),
    NeighbourRule(
        "num_mel_bins",
        _has("spec_size"),
        _at_most(IMAGE),
        why="The bands of a spectrogram become a square image.",
    ),
    NeighbourRule(
        "head_dim",
        _has("expand"),
        lambda scale, _config, value: scale.state_head_dim(value),
        why="The layer expands what it takes before it divides it into heads.",
    ),
    NeighbourRule(
        "head_dim",
        _declares("qk_rope_head_dim"),
        _at_most(ROTARY),
        why="It is the rotated part of a head alone.",
    ),
)
"""The first that fits counts."""
