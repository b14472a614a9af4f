"""What is said where the defaults of a config say nothing."""

from __future__ import annotations

import re
from typing import Any

from transformers import PretrainedConfig

from neuron_catalog.authoring.shrinking.config_facts import fields, get, kinds_in_code, type_of
from neuron_catalog.authoring.shrinking.limits import LARGE, LAYERS, VOCABULARY
from neuron_catalog.authoring.shrinking.mapping_rules import shrink_mapping
from neuron_catalog.authoring.shrinking.number_rules import TOKEN, shrink_number
from neuron_catalog.authoring.shrinking.scale import Scale

PLACEHOLDER = r"^(audio|image|video)_token_(id|index)$"

ROTARY_EMBEDDING = {"rope_type": "default", "rope_theta": 10000.0}


def fill_gap(scale: Scale, config: PretrainedConfig, name: str, value: Any) -> Any:
    """Return what to say in place of None or an empty mapping, which comes back if nothing is to be said."""
    way = scale.way
    if name == "vocab_size" and value is None:
        return VOCABULARY
    if re.search(PLACEHOLDER, name):
        return scale.new_token()
    if name == "head_dim" and (way.says_head_dim or way.says_open):
        return way.head_dim
    if name == "rope_parameters" and value is None and way.says_sections:
        return shrink_mapping(scale, name, ROTARY_EMBEDDING)
    if name.startswith("default_") and (choices := get(config, f"{name.removeprefix('default_')}s")):
        return next(iter(choices))
    return _size_or_choice(scale, config, name, value) if way.says_open else value


def _size_or_choice(scale: Scale, config: PretrainedConfig, name: str, value: Any) -> Any:
    """Say a size as large as sizes may be, and all choices among kinds of layer."""
    if name == "layer_types":
        kinds = kinds_in_code(config)
        return (kinds * LAYERS)[: max(LAYERS, len(kinds))] or value
    if name == "rope_parameters" and value == {}:
        return dict.fromkeys(get(config, "layer_types") or (), ROTARY_EMBEDDING)
    if not re.search(r"\bint\b", type_of(config, name)):
        return value
    small = shrink_number(scale, name, LARGE)  # a token id stays open, and uses up a number nevertheless
    return value if small == LARGE or re.search(TOKEN, name) else small


def fill_special_tokens(config: PretrainedConfig, found: dict[str, Any]) -> dict[str, int]:
    """A vocabulary needs an id to pad with and one to end with, and a decoder one to begin with.

    `found` has what the rules say of the config's arguments.
    """
    if not any(name == "vocab_size" for name, _ in fields(config)):
        return {}
    ids = {
        name: found.get(name, get(config, name)) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    taken = {each for value in ids.values() for each in (value if isinstance(value, list) else [value])}
    free = iter(sorted({0, 1, 2, 3, 4} - taken))
    new = {name: next(free) for name in ("pad_token_id", "eos_token_id") if ids[name] is None}
    if config.is_encoder_decoder and get(config, "decoder_start_token_id") is None:
        new["decoder_start_token_id"] = new.get("pad_token_id", ids["pad_token_id"] or 0)
    return new
