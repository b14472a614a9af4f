"""Take the comments of a YAML file, and put them beside the same keys in another text of the same data."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from neuron_catalog.authoring.canonical import MODELINE
from neuron_catalog.catalog.source import LINE_END, YamlPath

COMMENT = re.compile("#[^\r\n\x85\u2028\u2029]*")
BLOCK_HEADER = re.compile(rf"[|>][-+0-9]*[ \t]+({COMMENT.pattern})")
"""The first line of a block scalar; what the parser counts as the scalar includes the comment there."""

OPENING_END = re.compile(rf"^[ \t]*({MODELINE.pattern}[ \t]*)?\r?\n", re.MULTILINE)
"""A blank line or the one that names the schema: what stands above it, before any key, is about the file."""

BLANK = " \t\ufeff"


@dataclass(frozen=True)
class Comment:
    """A comment, and the key or list item that it stands above, or at the end of the line of."""

    text: str
    where: YamlPath
    """The path of that key or item; the empty one is the file."""
    above: bool
    """Or at the end: of a line, or of the file."""


class _Place(NamedTuple):
    """Where a key with its value, or an item, begins and ends; both are positions in the text."""

    start: int
    end: int
    path: YamlPath


class _Found(NamedTuple):
    """A comment, and whether nothing but the dash of a list item stands before it on its line."""

    start: int
    text: str
    after_dash: bool


def comments_of(text: str) -> tuple[Comment, ...]:
    """Return all comments of a text that the strict reader accepts, in order.

    One on a line of its own belongs to what follows; at the top, with a blank line between, to the file. One
    at the end of a line belongs to the outermost thing that begins and ends on that line, otherwise to what
    began last before it.
    """
    text = text.removeprefix("\ufeff")  # the parser's positions do not count it
    starts = _line_starts(text)
    places = tuple(_places(_composed(text), ()))
    opening = text[: places[0].start] if places else ""
    about_file = max((found.start() for found in OPENING_END.finditer(opening)), default=0)
    return tuple(
        Comment(found.text, (), above=True)
        if found.start < about_file
        else _placed(found, text, starts, places)
        for found in _comments(text)
    )


def with_comments(text: str, comments: Iterable[Comment]) -> str:
    """Return `text` with comments above and beside the lines on which their keys and items begin.

    A line has room for one comment at its end. Several that come to the same line go above it.
    """
    starts = _line_starts(text)
    line_of = {place.path: _line(starts, place.start) for place in _places(_composed(text), ())}
    line_of[()] = min(line_of.values(), default=0)
    lines = text.splitlines()
    end = len(lines)
    by_line: defaultdict[int, list[Comment]] = defaultdict(list)
    for comment in comments:
        by_line[line_of[comment.where] if comment.where or comment.above else end].append(comment)
    written: list[str] = []
    for number, line in enumerate([*lines, ""]):
        ends = [comment for comment in by_line[number] if not comment.above]
        beside = ends if len(ends) == 1 and number < end else []
        indent = line[: len(line) - len(line.lstrip(" "))]
        written += [indent + comment.text for comment in by_line[number] if comment not in beside]
        written.append("  ".join([line, *(comment.text for comment in beside)]))
    return "\n".join(written)


def _line_starts(text: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer(LINE_END, text))]


def _line(starts: list[int], position: int) -> int:
    return bisect_right(starts, position) - 1


def _composed(text: str) -> yaml.Node | None:
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.CSafeLoader)
    return node


def _places(node: yaml.Node | None, where: YamlPath) -> Iterator[_Place]:
    """Yield the place of every key and item below `node`, in the order of the text."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = (*where, key.value)
            yield _Place(key.start_mark.index, value.end_mark.index, path)
            yield from _places(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield _Place(item.start_mark.index, item.end_mark.index, (*where, position))
            yield from _places(item, (*where, position))


def _comments(text: str) -> Iterator[_Found]:
    """Yield what lies between the tokens and is not blank: nothing but a comment can."""
    position = 0
    after_dash = False
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        start, end = token.start_mark.index, token.end_mark.index
        for found in COMMENT.finditer(text, position, max(position, start)):
            yield _Found(found.start(), found[0].rstrip(BLANK), after_dash)
        if end > start:
            after_dash = isinstance(token, yaml.BlockEntryToken)
        if isinstance(token, yaml.ScalarToken) and (header := BLOCK_HEADER.match(text, start, end)):
            yield _Found(header.start(1), header[1].rstrip(BLANK), False)
        position = max(position, end)


def _placed(found: _Found, text: str, starts: list[int], places: tuple[_Place, ...]) -> Comment:
    begin = starts[_line(starts, found.start)]
    next_one = bisect_right(places, found.start, key=lambda place: place.start)
    alone = not text[begin : found.start].strip(BLANK)
    if alone or found.after_dash or next_one == 0:
        if next_one == len(places):
            return Comment(found.text, (), above=False)
        return Comment(found.text, places[next_one].path, above=True)
    on_the_line = (place for place in places[:next_one] if place.start >= begin)
    whole = next((place for place in on_the_line if place.end <= found.start), places[next_one - 1])
    return Comment(found.text, whole.path, above=False)
