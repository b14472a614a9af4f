"""How mappings of a config shrink: rotary embeddings, projectors, and whatever else has keys of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from neuron_catalog.authoring.shrinking.limits import PATCH
from neuron_catalog.authoring.shrinking.number_rules import shrink_number
from neuron_catalog.authoring.shrinking.scale import Scale

ROTATED = r"^(partial_rotary_factor|rotary_pct)$"
"""The part of a head that is rotated."""


def shrink_mapping(scale: Scale, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a mapping becomes; its whole numbers shrink as if they stood under its own name."""
    if name.endswith("patch_to_query_dict"):  # a projector's number of queries for a number of patches
        return {str((scale.way.image // PATCH) ** 2): PATCH // 2}
    small = {key: _entry(scale, name, key, each) for key, each in value.items()}
    if "mrope_section" in value or (scale.way.says_sections and "rope_type" in value):
        small["mrope_section"] = _sections(scale, small.get("partial_rotary_factor", 1))
    return small


def _entry(scale: Scale, name: str, key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return shrink_mapping(scale, key, value)
    if type(value) is int:
        return shrink_number(scale, name, value)
    return scale.rotated_part(value) if re.search(ROTATED, key) and value else value


def _sections(scale: Scale, rotated: float) -> list[int]:
    """Divide the rotated half of a head among time, height and width; time takes what is left over."""
    half = int(scale.way.head_dim * rotated) // 2
    return [half - 2 * (half // 3), half // 3, half // 3]
