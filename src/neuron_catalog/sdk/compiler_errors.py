"""The documented error codes of the compiler neuronx-cc, and which of them a log mentions."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, TypeAdapter

from neuron_catalog.sdk.records import Fact, Items, Source, Text, keyed, read_facts

CODE = r"E[A-Z]{3}[0-9]{3}"
"""What a documented code looks like. Logs have others too, which no page explains."""

ANY_CODE = re.compile(r"NCC_([A-Z]{3,5}[0-9]{3})|([EI][A-Z]{3}[0-9]{3})")

MENTIONED = re.compile(rf"(?<![A-Za-z0-9_])(?:NCC_)?({CODE})(?![A-Za-z0-9_])")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
"""What colours a terminal; it ends with a letter, which would seem to belong to the word behind it."""

LONGEST = 300
"""More characters of one line than these help nobody."""


class CompilerError(Fact):
    """One error that the compiler reports by a code, and what a user of this package does about it."""

    code: str = Field(pattern=rf"^{CODE}$")
    title: Text
    """A few words, without a full stop."""
    means: Text
    remedy: Text
    axes: Items[Text] = ()
    """Axes to make smaller; the first one first."""
    source: Source
    """The page, as a path in the repository aws-neuron/aws-neuron-sdk."""


def compiler_errors() -> Mapping[str, CompilerError]:
    """Return code → error, in the order of the codes."""
    return MappingProxyType(_errors())


def code_in(word: str) -> str:
    """Return the code that a word is, such as `EVRF031` for `ncc_evrf031`; an empty string if it is none."""
    matched = ANY_CODE.fullmatch(word.upper())
    return matched[1] or matched[2] if matched else ""


def found_in(log: str) -> tuple[CompilerError, ...]:
    """Return the documented errors that a compiler's log mentions, each once, the first mentioned first."""
    known = _errors()
    codes = dict.fromkeys(MENTIONED.findall(ESCAPE.sub(" ", log)))
    return tuple(known[code] for code in codes if code in known)


def error_lines(log: str, *, most: int = 10) -> tuple[str, ...]:
    """Return the last lines of a log with an error or a code, without colours and not too long."""
    lines = (line.strip() for line in ESCAPE.sub("", log).splitlines())
    told = deque((each for each in lines if "error" in each.casefold() or "NCC_" in each), maxlen=most)
    return tuple(line if len(line) <= LONGEST else f"{line[:LONGEST]}…" for line in told)


@cache
def _errors() -> dict[str, CompilerError]:
    kind: TypeAdapter[dict[str, CompilerError]] = TypeAdapter(
        Annotated[dict[str, CompilerError], keyed("code")]
    )
    return read_facts("compiler_errors", kind)
