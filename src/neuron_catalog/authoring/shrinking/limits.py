"""How large the sizes of a tiny model are, whatever the way of shrinking."""

HEADS = 4
LAYERS = 2

VOCABULARY = 99
"""As in the tests of transformers."""

IMAGE = 32
"""The side of an image; a way of shrinking may say another."""

PATCH = 8
"""The side of a patch; a way of shrinking may say another."""

ROTARY = 4
"""Channels of a head that are rotated, where a config says how many rather than which part."""

NARROW = 16
"""A width that stays when widths are divided, and the widest one of a list that stays."""

CHANNELS = 16
"""What widths are divided by, and the narrowest one where heads stand in a ratio to them."""

LARGE = 2**30
"""Stands for a number that the defaults leave open; it stays open if no rule makes this smaller."""
