"""What each kind of size becomes in a tiny model: the measures that the rules of all keys share."""

from __future__ import annotations

from dataclasses import dataclass, field

from neuron_catalog.authoring.shrinking.limits import (
    CHANNELS,
    HEADS,
    LARGE,
    NARROW,
    ROTARY,
    VOCABULARY,
)
from neuron_catalog.authoring.shrinking.ways import PLAIN, Way

BANDS = 16
MOST_BANDS = 128
"""A spectrogram never has more bands; what is named like them and larger is a width."""

LARGEST_PATCH = 64
"""No patch is larger; what is named like its side and larger is an image."""


@dataclass(frozen=True)
class Scale:
    """Shrinks one kind of size with each method: equal sizes become equal, in nested configs, too."""

    way: Way = PLAIN
    _ids: dict[int, int] = field(default_factory=dict)
    """Token ids beyond the small vocabulary → their new numbers."""

    def token(self, value: int) -> int:
        """Keep a small id, and give a large one the next number from the top of the vocabulary."""
        if value < VOCABULARY:
            return value
        return self._ids.setdefault(value, VOCABULARY - 1 - len(self._ids))

    def new_token(self) -> int:
        """Return an id for a token that has none."""
        return self.token(VOCABULARY + len(self._ids))

    def width(self, value: int) -> int:
        """Shrink the number of channels of anything but a head."""
        if self.way.widths == "kept":
            return value
        if self.way.widths == "divided" and value > NARROW:
            return divided(value)
        return min(value, self.way.width)

    def half_width(self, value: int) -> int:
        """Shrink what is half a width."""
        return self.width(2 * value) // 2

    def heads(self, value: int) -> int:
        """Shrink the number of heads."""
        return value if self.way.widths == "kept" else min(value, HEADS)

    def kv_heads(self, value: int) -> int:
        """Shrink the number of heads for keys and values."""
        return min(value, HEADS // 2 if self.way.grouped else HEADS)

    def head_dim(self, value: int) -> int:
        """Shrink the width of a head."""
        return min(value, self.way.head_dim)

    def rotated_head_dim(self, value: int) -> int:
        """Shrink the width of a head to which rotated channels are added."""
        return min(value, self.way.head_dim + ROTARY)

    def rotated_part(self, value: float) -> float:
        """Enlarge the part of a head that is rotated, until it has two channels at least."""
        return max(value, 2 / self.way.head_dim)

    def state_head_dim(self, value: int) -> int:
        """Shrink the width of a head of a state-space layer, which is twice as wide as the model."""
        return min(value, 2 * self.way.head_dim)

    def kernel(self, value: int) -> int:
        """Shrink the width of a kernel; one that has a middle keeps it."""
        return min(value, self.way.width - value % 2)

    def image(self, value: int) -> int:
        """Shrink the side of an image."""
        return min(value, self.way.image)

    def patch(self, value: int) -> int:
        """Shrink the side of a patch."""
        return self.image(value) if LARGEST_PATCH < value < LARGE else min(value, self.way.patch)

    def bands(self, value: int) -> int:
        """Shrink the bands of a spectrogram."""
        return self.width(value) if MOST_BANDS < value < LARGE else min(value, BANDS)


def divided(width: int) -> int:
    """Return a width that is many times smaller, and which eight divides."""
    return max(8, -(-width // CHANNELS // 8) * 8)
