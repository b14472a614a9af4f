"""How a value of a config shrinks: by the rules for what kind of value it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from neuron_catalog.authoring.shrinking.gaps import fill_gap
from neuron_catalog.authoring.shrinking.list_rules import shrink_list
from neuron_catalog.authoring.shrinking.mapping_rules import ROTATED, shrink_mapping
from neuron_catalog.authoring.shrinking.neighbour_rules import shrink_beside
from neuron_catalog.authoring.shrinking.number_rules import shrink_number
from neuron_catalog.authoring.shrinking.scale import Scale


def shrink_value(scale: Scale, config: PretrainedConfig, name: str, value: Any) -> Any:
    """Return what a value becomes that is not a config itself."""
    if value is None or value == {}:
        return fill_gap(scale, config, name, value)
    if isinstance(value, Mapping):
        return shrink_mapping(scale, name, value)
    if isinstance(value, (list, tuple)):
        return shrink_list(scale, config, name, value)
    if re.search(ROTATED, name) and value:
        return scale.rotated_part(value)
    if name == "depth_coefficient":
        return min(value, 1.0)  # more layers for larger images
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    beside = shrink_beside(scale, config, name, value)
    return shrink_number(scale, name, value) if beside is None else beside
