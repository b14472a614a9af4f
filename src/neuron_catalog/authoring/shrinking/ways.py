"""The ways to shrink a config. They are tried in turn, since only a model knows which sizes must agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neuron_catalog.authoring.shrinking.limits import HEADS, IMAGE, PATCH

Widths = Literal["alike", "divided", "kept"]
"""Whether all larger widths become one, all are divided by one number, or all stay as they are."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to shrink a config."""

    why: str
    """What the models need that are shrunk like this."""

    width: int = 32
    widths: Widths = "alike"
    """What becomes of widths; where they are kept, heads for queries are too."""
    image: int = IMAGE
    patch: int = PATCH
    grouped: bool = True
    """Whether there may be fewer heads for keys and values than for queries."""
    layers_of_each_kind: int = 1
    """How many layers of each kind are kept, where there are several kinds."""

    leaves_derived: bool = False
    """Whether what the class derives from other sizes is left to it."""
    says_head_dim: bool = False
    """Whether a head's width that the defaults leave open is said."""
    says_sections: bool = False
    """Whether the sections of rotary embeddings of images are said."""
    says_open: bool = False
    """Whether all sizes and choices that the defaults leave open are said."""

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.width // HEADS


PLAIN = Way(why="Most models take sizes that are shrunk by the name of their key alone.")

WAYS: dict[str, Way] = {
    "plain": PLAIN,
    "ungrouped": Way(
        grouped=False,
        why="Attention whose keys and values come from a latent has as many heads of them as of queries.",
    ),
    "with_sections": Way(
        grouped=False,
        says_head_dim=True,
        says_sections=True,
        why="Rotary embeddings of time, height and width must fill the half of a head exactly.",
    ),
    "derived_left": Way(
        leaves_derived=True,
        why="A size that the class computes from others contradicts them once it is said and shrunk.",
    ),
    "large_images": Way(
        image=64,
        why="An image that is halved at each stage must not run out of pixels.",
    ),
    "three_in_a_head": Way(
        width=48,
        why="Heads of 12 channels can be divided by three as well as by four.",
    ),
    "wide": Way(
        width=64,
        grouped=False,
        why="Heads of 16 channels can be halved twice and still be rotated.",
    ),
    "large_patches": Way(
        image=64,
        patch=16,
        why="A patch of 16 pixels can be halved four times.",
    ),
    "divided_widths": Way(
        widths="divided",
        image=64,
        patch=16,
        why="Widths that a model computes from others must keep their ratio to them.",
    ),
    "kept_widths": Way(
        widths="kept",
        image=64,
        patch=16,
        why="Some widths are fixed in the code of the model, so those in the config must stay.",
    ),
    "open_said": Way(
        width=64,
        grouped=False,
        layers_of_each_kind=2,
        says_open=True,
        why="Defaults that leave sizes open describe no model, or one that is too large.",
    ),
    "open_said_with_sections": Way(
        width=64,
        grouped=False,
        says_open=True,
        says_sections=True,
        why="The same with a rotary embedding in sections, and with one layer of each kind again.",
    ),
}
"""Name → way, in the order in which they are tried: what changes least comes first."""
