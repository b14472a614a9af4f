"""Put text that others wrote into Markdown, so that it stays the text it is."""

from __future__ import annotations

import re

PLAIN = re.compile(r"[A-Za-z0-9_.,:=/@+*()\[\]{} \"'-]+")
"""What may stand between backticks, in a table too."""

FOLDERS = re.compile(r"(?<![\w./:])/(?:[^/\s\"',|]+/)+")
"""The folders of an absolute path: of this machine, and of no use on another."""

SPECIAL = re.compile(r"[&<>|`*\[\]\\~$#!]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown, or HTML in it, gives a meaning to. A `_` within a word has none."""


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()

    def __html__(self) -> str:
        """Tell Jinja to leave it alone."""
        return self


def flat(value: object) -> str:
    """Return a value as one line that can be printed and written as UTF-8, without the folders of paths."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(value)).split())
    return FOLDERS.sub("…/", line)


def escaped(value: object) -> Markdown:
    """Return a value as text: a line that begins nothing, ends nothing and links to nothing."""
    if isinstance(value, Markdown):
        return value
    return Markdown(SPECIAL.sub(lambda found: f"&#{ord(found[0])};", flat(value)))


def code(value: object) -> Markdown:
    """Return a name between backticks; one with unusual signs as plain text."""
    line = flat(value)
    return Markdown(f"`{line}`") if PLAIN.fullmatch(line) else escaped(line)
