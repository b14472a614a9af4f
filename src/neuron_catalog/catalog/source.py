"""Read one YAML file strictly, keeping the line and column of every value.

The reader accepts a small, unambiguous part of YAML: no tags, anchors, merge keys or duplicate keys,
and none of the plain scalars that YAML 1.1 readers turn into something unexpected (`no`, `1e-3`,
`12:30`, `0x1F`). Each refusal has a stable code and says how to write the value instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

from neuron_catalog.errors import CatalogError, Finding

MAX_BYTES = 64 * 1024
MAX_DEPTH = 20

YamlPath = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""

NO_KEY = -1
"""The step into what has no key of its own: a key itself, or the value of a refused key."""


class _ParserMark(Protocol):
    """PyYAML's marks, which count from 0; its C and Python parsers have a class each."""

    line: int
    column: int


class Mark(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class YamlFile:
    """A file's plain data (dict, list, str, int, float, bool, None) and where each value stands."""

    path: Path
    value: Any
    marks: dict[YamlPath, Mark]

    def finding(self, where: YamlPath, code: str, message: str, fix: str = "") -> Finding:
        """Point at the value at `where`, or at the nearest enclosing value that exists."""
        while where and where not in self.marks:
            where = where[:-1]
        mark = self.marks.get(where, Mark(1, 1))
        return Finding(self.path, mark.line, mark.column, code, message, fix)


LINE_END = "\r\n|[\r\n\x85\u2028\u2029]"
CONSTANTS = {"true": True, "false": False, "null": None}
NUMBER = r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+([eE][+-][0-9]{1,2})?)?\Z"
"""What a plain number must look like: an integer, or a float with digits around the point. All are finite."""

TRAP_WORDS = {"yes", "no", "on", "off", "y", "n", "true", "false", "null", "~", ""}
TRAPS = (
    (
        r"-?(0|[1-9][0-9]*)\.[0-9]+[eE][+-][0-9]{3,}\Z|-?[1-9][0-9]{18,}(\.[0-9]+([eE][+-][0-9]+)?)?\Z",
        "a number has at most 18 digits before the point and 2 in the exponent: quote it if it is text",
    ),
    (
        r"[+-]?[0-9._]+[eE][+-]?[0-9]+\Z",
        "YAML versions differ here: write digits around the point and a signed exponent, such as 1.0e-3",
    ),
    (
        r"[+-]?(0[0-9_]+(\.[0-9_]*)?|0[xob][0-9a-fA-F_]+|[0-9.][0-9.]*_[0-9._]*)\Z",
        "write a plain decimal number, or quote it if it is text",
    ),
    (
        r"[+-]?([0-9]+\.|\.[0-9]+|[0-9]+\.[0-9]+)\Z|\+[0-9]+\Z",
        "write digits around the point and no plus sign, such as 0.5",
    ),
    (
        r"[+-]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?\Z",
        "YAML 1.1 reads this as a base-60 number: quote it if it is text",
    ),
    (r"[+-]?\.(inf|nan|Inf|NaN|INF|NAN)\Z", "infinity and not-a-number have no place in a catalog"),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?\Z", "quote dates"),
    (r"(=|<<)\Z", "YAML 1.1 gives this a meaning of its own: quote it"),
)
"""Plain scalars that look like a value to some readers of YAML and like text to others, and what to write."""


def read_yaml(path: Path) -> YamlFile:
    """Read `path` strictly.

    Raises:
        CatalogError: with one finding for each thing that is wrong in the text of the file.
    """
    return parse_yaml(path, read_text(path))


def read_text(path: Path) -> str:
    """Return the text of a file that is not too large.

    Raises:
        CatalogError: if there is none.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CatalogError([Finding(path, 1, 1, "NC100", f"cannot be read: {error.strerror}")]) from error
    if len(raw) > MAX_BYTES:
        message = f"the file has {len(raw)} bytes, more than {MAX_BYTES}"
        raise CatalogError([Finding(path, 1, 1, "NC101", message, "split it")])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
        raise CatalogError([Finding(path, 1, 1, "NC102", message, "save the file as UTF-8")]) from error


def parse_yaml(path: Path, text: str) -> YamlFile:
    """Read `text` as strictly as the file at `path`.

    Raises:
        CatalogError: with one finding for each thing that is wrong in the text.
    """
    composer = _Composer(path, text)
    value = composer.document()
    if composer.findings:
        raise CatalogError(composer.findings)
    return YamlFile(path, value, composer.marks)


class _TooDeepError(Exception):
    """Ends the reading of a file that is nested too deeply."""


@dataclass
class _Composer:
    """Builds plain data from parser events; unlike PyYAML's own it sees tags and anchors."""

    path: Path
    text: str
    findings: list[Finding] = field(default_factory=list)
    marks: dict[YamlPath, Mark] = field(default_factory=dict)

    def document(self) -> Any:
        try:
            return self._document()
        except _TooDeepError:
            pass  # refused where it was seen; reading on could exhaust the stack
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = " ".join(filter(None, (error.context, error.problem)))
            self._refuse(mark, "NC103", f"not valid YAML: {message}", self._cure(error.problem or "", mark))
        except yaml.reader.ReaderError as error:
            place = _end_of(self.text.encode()[: error.position].decode(errors="ignore"))
            self._refuse(place, "NC103", f"not valid YAML: {error.reason}", "remove the character")
        return None

    def _document(self) -> Any:
        events: Iterator[yaml.Event] = yaml.parse(self.text, Loader=yaml.CSafeLoader)
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(
                        event.start_mark, "NC104", "a second document starts here", "use one file each"
                    )
                    break
                value = self._value(next(events), events, ())
        if documents == 0:
            self._refuse(None, "NC104", "the file is empty", "write one document or remove the file")
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], where: YamlPath) -> Any:
        self.marks.setdefault(where, _mark(event.start_mark))
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event.start_mark, "NC105", f"alias *{event.anchor}", "repeat the value")
            return None
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor:
            fix = "remove it and repeat the value where it is needed"
            self._refuse(event.start_mark, "NC105", f"anchor &{event.anchor}", fix)
        if tag := getattr(event, "tag", None):
            fix = "remove the tag: files hold data only"
            self._refuse(event.start_mark, "NC106", f"tag {tag}", fix)
        if len(where) > MAX_DEPTH:
            self._refuse(event.start_mark, "NC107", f"nested deeper than {MAX_DEPTH} levels", "flatten it")
            raise _TooDeepError
        if isinstance(event, yaml.ScalarEvent):
            return event.value if event.anchor or tag else self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, where)
        return self._mapping(events, where)

    def _sequence(self, events: Iterator[yaml.Event], where: YamlPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*where, len(items))))
        return items

    def _mapping(self, events: Iterator[yaml.Event], where: YamlPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            mark = _mark(event.start_mark)
            key = self._key(event, events, where)
            if key is None:
                self._value(next(events), events, (*where, NO_KEY))
            elif key in items:
                first = self.marks[(*where, key)].line
                fix = f"the first is on line {first}; keep one"
                self._refuse(event.start_mark, "NC108", f"duplicate key {key!r}", fix)
                self._value(next(events), events, (*where, NO_KEY))
            else:
                self.marks[(*where, key)] = mark
                items[key] = self._value(next(events), events, (*where, key))
        return items

    def _key(self, event: yaml.Event, events: Iterator[yaml.Event], where: YamlPath) -> str | None:
        """Return the key, or nothing if it was refused."""
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style:
            self._refuse(event.start_mark, "NC105", "merge key <<", "repeat the values")
            return None
        value = self._value(event, events, (*where, NO_KEY))
        if isinstance(value, str):
            return value
        if isinstance(event, yaml.ScalarEvent):
            self._refuse(event.start_mark, "NC109", f"the key {event.value} is not text", "quote it")
        elif not isinstance(event, yaml.AliasEvent):
            self._refuse(event.start_mark, "NC109", "a list or mapping as key", "keys are text")
        return None

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if event.style:
            return text
        if text in CONSTANTS:
            return CONSTANTS[text]
        if number := re.match(NUMBER, text):
            return float(text) if number[2] else int(text)
        if fix := trap(text):
            shown = text if len(text) <= 40 else f"{text[:40]}…"
            self._refuse(event.start_mark, "NC110", f"ambiguous value: {shown or 'an empty value'}", fix)
        return text

    def _cure(self, problem: str, mark: _ParserMark | None) -> str:
        """Tell how to repair the commonest mistakes."""
        if "mapping values are not allowed" in problem:
            return "quote text that contains a colon and a space"
        if mark and "cannot start any token" in problem:
            tab = re.split(LINE_END, self.text)[mark.line].startswith("\t", mark.column)
            return "indent with spaces, not tabs" if tab else "quote the value"
        return ""

    def _refuse(self, mark: _ParserMark | None, code: str, message: str, fix: str = "") -> None:
        end = _end_of(self.text)  # the parser counts one line more where the last one has no end
        line, column = _mark(end if mark and mark.line > end.line else mark)
        self.findings.append(Finding(self.path, line, column, code, message, fix))


def trap(text: str) -> str:
    """Return what to write instead of an ambiguous plain scalar, or an empty string."""
    if text.lower() in TRAP_WORDS:
        return "write true, false or null, or quote it if it is text"
    if text[0].isalpha():
        return ""
    return next((fix for pattern, fix in TRAPS if re.match(pattern, text)), "")


def _mark(mark: _ParserMark | None) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _end_of(text: str) -> _ParserMark:
    lines = re.split(LINE_END, text)
    return yaml.Mark("", 0, len(lines) - 1, len(lines[-1]), None, 0)
