"""The code of this package, as far as it decides about what is exported."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

NO_PART_OF_AN_EXPORT = ("authoring", "cli", "pages", "sweeping")
"""Rooms whose code decides nothing about what is exported, or how a row ends."""


def code_digest(package: Path = PACKAGE) -> str:
    """Return the first 16 digits of the SHA-256 of that code."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.parts[0] not in NO_PART_OF_AN_EXPORT:
            digest.update(f"{place.as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
