"""Which layers of a model are kept, and what its config says of each."""

from __future__ import annotations

import re
from typing import Any

from transformers import PretrainedConfig

from neuron_catalog.authoring.shrinking.config_facts import DEPTHS, fields, get
from neuron_catalog.authoring.shrinking.scale import Scale
from neuron_catalog.authoring.shrinking.values import shrink_value

KINDS = r"^(layer_types|mlp_layer_types|indexer_types|layers_block_type)$"
"""Lists of what kind each layer is, or a part of it."""

SHARED = r"kv_shared_layers$"
"""How many of the last layers take keys and values from earlier ones."""


def keep_layers(scale: Scale, config: PretrainedConfig, found: dict[str, Any]) -> dict[str, Any]:
    """Keep as many layers as there are outputs of layers, or one of each kind.

    `found` has what the rules say of the config's arguments; an empty answer has nothing to add to it.
    """
    names = dict(fields(config))
    depth = next((each for each in DEPTHS if each in names), None)
    if depth is None or not isinstance(names[depth], int):
        return {}
    if len(names.get("depths") or ()) == names[depth]:  # a layer is a stage with a depth of its own
        return {depth: names[depth]}
    if asked := [len(value) for name, value in found.items() if name.endswith("out_indices")]:
        return {depth: max(asked)}
    return _one_of_each_kind(scale, config, depth)


def _one_of_each_kind(scale: Scale, config: PretrainedConfig, depth: str) -> dict[str, Any]:
    """Keep one layer of each kind, and what is said of it in lists that have an entry for each layer.

    Where the last layers take keys and values from earlier ones, each kind is kept among both.
    """
    names = dict(fields(config))
    lists = {
        name: list(value)
        for name, value in names.items()
        if isinstance(value, (list, tuple)) and len(value) == names[depth]
    }
    rows = [*zip(*(values for name, values in lists.items() if re.search(KINDS, name)), strict=True)]
    kept = [rows.index(row) for row in dict.fromkeys(rows)]
    if len(kept) < 2:
        return {}
    shared = {name: len(kept) for name, value in names.items() if re.search(SHARED, name) and value}
    kept *= 2 if shared else scale.way.layers_of_each_kind
    said = {name: _entries(scale, config, name, values, kept) for name, values in lists.items()}
    return {depth: len(kept), **said, **shared}


def _entries(
    scale: Scale, config: PretrainedConfig, name: str, values: list[Any], kept: list[int]
) -> list[Any]:
    """Return the entries of the layers that are kept; what numbers the layers numbers those."""
    if values == list(range(len(values))):
        return list(range(len(kept)))
    return [shrink_value(scale, config, name.removesuffix("_per_layer"), values[layer]) for layer in kept]


def keep_maps(config: PretrainedConfig, *, every: bool = False) -> dict[str, Any]:
    """A backbone gives as many feature maps as before: of its first layers, or of its stages.

    One that the defaults leave with its last map gives those of `every` stage, if asked to.
    """
    indices = list(get(config, "out_indices") or ())
    if every and len(indices) == 1:
        indices = list(range(1, len(get(config, "stage_names") or ())))
    if len(indices) < 2 or "out_indices" in config.__dataclass_fields__ or not hasattr(config, "stage_names"):
        return {}
    depth = next((each for each in DEPTHS if each in config.__dataclass_fields__), None)
    if depth is None:
        return {"out_indices": indices}
    return {depth: len(indices), "out_indices": list(range(1, len(indices) + 1))}
