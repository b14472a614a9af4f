"""Error classes, each with the exit code that the command line ends with.

Every error carries one sentence of cause and one of remedy. Exit codes: 2 the command was used
wrongly, 3 the catalog is wrong, 4 the request is impossible, 5 compilation failed, 6 the numbers
differ. They are part of the public interface: scripts may rely on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class NeuronCatalogError(Exception):
    """Base of all errors raised on purpose. `cause` and `remedy` are one sentence each."""

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause}\n{self.remedy}" if self.remedy else self.cause


class UsageError(NeuronCatalogError):
    """The command or call is malformed."""

    exit_code = 2


class RequestError(NeuronCatalogError):
    """The request is well-formed but cannot be met: unknown architecture, missing axis, no file."""

    exit_code = 4


class RequirementError(RequestError):
    """An architecture needs a package, or a version of one, that is not installed."""


class CompileError(NeuronCatalogError):
    """The backend could not turn the module into a compiled graph."""

    exit_code = 5


class CompilerStoppedError(CompileError):
    """The compiler was stopped or killed: it may do the same another time."""


class VerificationError(NeuronCatalogError):
    """A compiled graph or an artifact is not what it should be; nothing was published."""

    exit_code = 6


@dataclass(frozen=True, order=True)
class Finding:
    """One thing wrong in one catalog file. Lines and columns count from 1."""

    file: Path
    line: int
    column: int
    code: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.code} {self.message}"
        return f"{text}; {self.fix}" if self.fix else text


class CatalogError(NeuronCatalogError):
    """The catalog, or another YAML file, is wrong. `findings` lists everything found, in file order."""

    exit_code = 3

    def __init__(self, findings: Sequence[Finding], subject: str = "the catalog") -> None:
        self.findings = tuple(sorted(findings))
        self.subject = subject
        super().__init__("\n".join(str(finding) for finding in self.findings))


MOST_LISTED = 30
"""More words than these help nobody in a message."""


def nearest(word: str, allowed: Iterable[str], *, limit: int = 3) -> str:
    """Return a hint naming the words closest to `word`, or all when none is close and they are few."""
    import difflib

    words = sorted(allowed)
    close = difflib.get_close_matches(word, words, n=limit, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    if len(words) > MOST_LISTED:
        return f"none of the {len(words)} known ones is close"
    return "known are: " + ", ".join(words) if words else "none is known"


def first_line(error: BaseException) -> str:
    """Return the first line of what another package raised, with the second if the first announces it."""
    first, *rest = (str(error).strip() or type(error).__name__).splitlines()
    return f"{first} {rest[0].strip()}" if first.endswith(":") and rest else first
