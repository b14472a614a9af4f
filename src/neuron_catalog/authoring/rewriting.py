"""Rewrite architecture files in canonical form: other spelling and order, same value, same comments."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml

from neuron_catalog.authoring.canonical import HEADER, MODELINE, architecture_text
from neuron_catalog.authoring.comments import Comment, comments_of, with_comments
from neuron_catalog.authoring.spelling import respelled
from neuron_catalog.catalog.loader import kind_of
from neuron_catalog.catalog.source import MAX_BYTES, parse_yaml, read_text
from neuron_catalog.errors import CatalogError, Finding


def rewrite_all(files: Iterable[Path]) -> tuple[tuple[Path, ...], tuple[Finding, ...]]:
    """Rewrite the architecture files among `files`; return those that changed, and why others could not be.

    A file that cannot be read, or would change its meaning, stays as it is.
    """
    rewritten: dict[Path, None] = {}
    findings: list[Finding] = []
    for path in files:
        try:
            if kind_of(path) == "architecture" and rewrite(path):
                rewritten[path] = None
        except CatalogError as error:
            findings += error.findings
    return tuple(rewritten), tuple(findings)


def rewrite(path: Path) -> bool:
    """Rewrite one architecture file; return whether that changed it.

    Raises:
        CatalogError: if it cannot be read, or not be written with the same meaning. It stays as it is.
    """
    text = read_text(path)
    written = canonical_form(path, text)
    if written == text:
        return False
    _replace(path, written)
    return True


def canonical_form(path: Path, text: str) -> str:
    """Return the text of an architecture file in canonical form, its comments kept.

    What is no mapping with keys has none: it is returned as it is.

    Raises:
        CatalogError: if the text cannot be read, or not be written with the same meaning.
    """
    source = respelled(path, text)
    document = parse_yaml(path, source).value
    if not isinstance(document, dict) or not document:
        return text
    comments = comments_of(source)
    body = architecture_text(document).removeprefix(HEADER)
    written = _header(comments) + with_comments(body, _without_modelines(comments))
    _verify(path, text, written)
    return written


def _header(comments: Iterable[Comment]) -> str:
    """Return the first line: the schema beside the catalog, unless the file names one on the web."""
    modelines = (found for comment in comments if (found := MODELINE.fullmatch(comment.text)))
    addresses = (found["schema"] for found in modelines if "://" in found["schema"])
    return next((f"# yaml-language-server: $schema={address}" for address in addresses), HEADER)


def _without_modelines(comments: Iterable[Comment]) -> tuple[Comment, ...]:
    return tuple(comment for comment in comments if not MODELINE.fullmatch(comment.text))


def _verify(path: Path, before: str, after: str) -> None:
    """Read both texts; the values of the one before are those that PyYAML gives to everybody else."""
    reason = ""
    try:
        value = parse_yaml(path, after).value
    except CatalogError as error:
        reason = f"line {error.findings[0].line} would be refused: {error.findings[0].message}"
    else:
        if _shown(value) != _shown(yaml.load(before, Loader=yaml.CSafeLoader)):
            reason = "a value would change"
        elif _texts(after) != _texts(before):
            reason = "a comment would be lost"
        elif len(after.encode()) > MAX_BYTES:
            reason = f"it would have more than {MAX_BYTES} bytes"
    if reason:
        raise CatalogError([_refusal(path, reason)])


def _shown(document: dict[str, Any]) -> dict[str, str]:
    """Return what differs wherever two documents or the types in them do; the order of keys is none."""
    return {key: json.dumps(value) for key, value in document.items()}


def _texts(text: str) -> list[str]:
    return sorted(comment.text for comment in _without_modelines(comments_of(text)))


def _refusal(path: Path, reason: str) -> Finding:
    return Finding(path, 1, 1, "NC111", f"cannot be rewritten: {reason}", "it was left as it is")


def _replace(path: Path, text: str) -> None:
    """Write a whole file beside the old one and let it take its place, through links."""
    target = path.resolve()
    temporary: Path | None = None
    try:
        with NamedTemporaryFile("wb", dir=target.parent, prefix=f".{target.name}-", delete=False) as file:
            temporary = Path(file.name)
            file.write(text.encode())
        shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise CatalogError([_refusal(path, error.strerror or type(error).__name__)]) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
