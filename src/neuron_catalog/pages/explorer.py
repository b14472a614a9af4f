"""A page that shows rows: totals, a matrix, what failed, plots, and a table to search, filter and sort.

It is one file. Styles and scripts are in it and held to their digests by its Content-Security-Policy, which
allows nothing else, so that a page opened from a folder cannot reach a network. Texts of rows may come from
anywhere: they stand in the page as JSON, and become text nodes and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent
SCRIPTS = ("data", "elements", "view", "rows", "table", "matrix", "groups", "plots", "summary", "start")
"""Files of `script/`, in the order in which one needs another."""
STYLES = ("base", "sections", "table")

ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""What could end a script, begin a comment or break a line there; JSON has another way to write each."""

Kind = Literal["word", "state", "number", "share", "link"]
Value = str | float | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a page knows of each row under one name."""

    key: str
    """Its name in the address of the page."""
    title: str
    kind: Kind = "word"
    """`state` is one of the page's states, `share` a number whose limit is 1, `link` 1 where one is."""
    unit: Literal["", "s", "B", "MiB"] = ""
    """Of a number."""
    shown: bool = True
    """Whether the table has it; if not, the details of a row do."""
    filtered: bool = False
    """Whether one of its words can be chosen above the table."""
    searched: bool = False
    link: tuple[str, str, str] = ("", "", "")
    """Of a link: what its address begins with, the column that goes on, and what it ends with."""


@dataclass(frozen=True)
class State:
    """One of the states of a row."""

    word: str
    glyph: str
    """A sign, so that no state is told by its colour alone."""
    tone: Literal["good", "again", "bad", "open"]


@dataclass(frozen=True)
class Matrix:
    """A table of all rows in little: `down` × `across`, a square for each of `each`."""

    title: str
    down: str
    across: tuple[str, str]
    each: str


@dataclass(frozen=True)
class Groups:
    """Rows with the same word in a column, such as the same cause, and what to do about it."""

    title: str
    key: str
    remedy: str
    names: tuple[str, ...]
    """Columns that name a row."""


@dataclass(frozen=True)
class Plot:
    """How a number is spread, on a logarithmic scale."""

    title: str
    key: str
    mark: float | None = None
    """A value to show, such as the most that is allowed."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything on a page."""

    title: str
    lead: str
    noun: str
    """What one row is; with an s for several."""
    same: str
    """The file with the same facts, for a browser without scripts."""
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Value]]
    """A value for each column; None where nothing is known."""
    states: Mapping[str, State]
    good: tuple[str, ...]
    """The states whose share stands at the top."""
    goal: str
    """What rows in these states are called."""
    facts: tuple[tuple[str, str], ...] = ()
    matrix: Matrix | None = None
    groups: Groups | None = None
    plots: tuple[Plot, ...] = ()
    generated: str = ""
    """A remark for whoever opens the source of the page."""


def page_text(page: Page) -> str:
    """Return the page as HTML; the same page is always the same text.

    Raises:
        ValueError: if a row has not one value for each column, or a state is none of the page's.
    """
    style = "\n".join(_read(f"style/{name}.css") for name in STYLES)
    script = "\n".join(_read(f"script/{name}.js") for name in SCRIPTS)
    theme = _read("script/theme.js")
    jinja = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return jinja.get_template("explorer.html.j2").render(
        page=page,
        style=Markup(style),
        theme=Markup(theme),
        script=Markup(script),
        policy=_policy([style], [theme, script]),
        data=Markup(_data(page)),
    )


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> Markup:
    """Return what the browser may do: run and apply these texts, and nothing else."""
    allowed = {"style-src": styles, "script-src": scripts}
    own = [f"{kind} {' '.join(map(_source, texts))}" for kind, texts in allowed.items()]
    return Markup("; ".join(["default-src 'none'", *own, "base-uri 'none'", "form-action 'none'"]))


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _data(page: Page) -> str:
    """Return everything that the scripts need, as JSON that may stand in a script element."""
    table = [list(row) for row in page.rows]
    if any(len(row) != len(page.columns) for row in table):
        raise ValueError("A row has not one value for each column.")
    values = [_column(column, [row[i] for row in table], page) for i, column in enumerate(page.columns)]
    said: dict[str, Any] = {
        "noun": page.noun,
        "count": len(table),
        "columns": [asdict(column) for column in page.columns],
        "states": [{"name": name, **asdict(state)} for name, state in page.states.items()],
        "good": page.good,
        "goal": page.goal,
        "matrix": page.matrix and asdict(page.matrix),
        "groups": page.groups and asdict(page.groups),
        "plots": [asdict(plot) for plot in page.plots],
        "values": values,
    }
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(ESCAPES)


def _column(column: Column, values: list[Value], page: Page) -> Any:
    """Return the values of a column in short: numbers as they are, words as places in a list of them."""
    if column.kind not in ("word", "state"):
        return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    words = list(page.states) if column.kind == "state" else sorted({str(value or "") for value in values})
    place = {word: number for number, word in enumerate(words)}
    try:
        return {"words": words, "of": [place[str(value or "")] for value in values]}
    except KeyError as error:
        raise ValueError(f"{error} is no state of the page.") from None
