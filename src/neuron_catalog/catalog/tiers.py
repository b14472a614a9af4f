"""How far support is proved, in five steps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Tier = Literal["declared", "traced", "lowered", "compiled", "device-verified"]
TIERS: tuple[Tier, ...] = ("declared", "traced", "lowered", "compiled", "device-verified")
"""How far support is proved, from a mere statement to numbers from a device."""


def highest(tiers: Iterable[Tier]) -> Tier:
    """Return the highest tier, `declared` if there is none."""
    return max(tiers, key=TIERS.index, default="declared")


def lowest(tiers: Iterable[Tier]) -> Tier:
    """Return the lowest tier: an architecture is proved as far as the least of its tasks."""
    return min(tiers, key=TIERS.index, default="declared")
