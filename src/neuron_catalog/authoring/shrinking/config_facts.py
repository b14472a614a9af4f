"""What a config of transformers says about itself: its arguments, their types, its kinds of layer."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from transformers import PretrainedConfig
from transformers.configuration_utils import ALLOWED_ATTN_LAYER_TYPES

DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
"""The names of how many layers a model has."""


def fields(config: PretrainedConfig) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a config's own arguments."""
    common = set(getattr(PretrainedConfig, "__dataclass_fields__", {}))
    for name in getattr(config, "__dataclass_fields__", {}):
        if (name not in common or name in type(config).sub_configs) and not name.startswith("_"):
            yield name, get(config, name)


def own(config: PretrainedConfig) -> dict[str, Any]:
    """What a nested config says otherwise than its class does: plain values only."""
    default = dict(fields(type(config)()))
    plain = {name: value for name, value in fields(config) if isinstance(value, (bool, int, float, str))}
    return {name: value for name, value in plain.items() if value != default.get(name)}


def type_of(config: PretrainedConfig, name: str) -> str:
    """The type that a config's class declares for an argument, as text."""
    declared = getattr(config, "__dataclass_fields__", {})
    return str(declared[name].type) if name in declared else ""


def kinds_in_code(config: PretrainedConfig) -> list[str]:
    """The kinds of layer that the code of the config's model names."""
    code = inspect.getsource(importlib.import_module(_modeling(config)))
    return [kind for kind in ALLOWED_ATTN_LAYER_TYPES if f'"{kind}"' in code]


def _modeling(config: PretrainedConfig) -> str:
    return type(config).__module__.replace(".configuration_", ".modeling_")


def is_derived(config: PretrainedConfig, name: str, value: Any) -> bool:
    """Whether the config's class computed what its arguments left open."""
    return value is not None and config.__dataclass_fields__[name].default is None


def get(config: PretrainedConfig, name: str) -> Any:
    """The value of an argument, or None if the config has none for all layers."""
    try:
        return getattr(config, name, None)
    except RuntimeError:  # transformers' way to say that each layer has a value of its own
        return None
