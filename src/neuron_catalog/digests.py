"""Size and SHA-256 of files, to tell whether they are what they were."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _plain(name: str) -> str:
    if not name or name in (".", "..") or any(sign in name for sign in "/\\\0"):
        raise ValueError("must be the name of a file, without a folder")
    return name


FileName = Annotated[str, AfterValidator(_plain)]
"""The name of a file in a folder; no path leads out of it."""


def _inside(path: str) -> str:
    for part in path.split("/"):
        _plain(part)
    return path


FilePath = Annotated[str, AfterValidator(_inside)]
"""The path of a file below a folder, with `/` between; none leads out of it."""


class FileRecord(BaseModel):
    """Size and digest of one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


def record_file(path: Path) -> FileRecord:
    """Return size and SHA-256 of a file, reading it in pieces."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRecord(bytes=path.stat().st_size, sha256=digest)


def leads_out(path: Path, root: Path) -> bool:
    """Tell whether a path is a link, or below one, to a place outside of the folder `root`.

    A snapshot in the hub's cache may link to the blobs of its own repository: so the hub keeps its files.
    """
    real, root = path.resolve(), root.resolve()
    blobs = [place.parent / "blobs" for place in root.parents if place.name == "snapshots"]
    return not any(real.is_relative_to(own) for own in (root, *blobs))


def alteration(path: Path, recorded: FileRecord, name: str = "", root: Path | None = None) -> str:
    """Say how a file differs from what was recorded of it; an empty string if it does not.

    It is called by the last part of its path, if no `name` is given. Links out of `root`, if that is given,
    are not followed.
    """
    name = name or path.name
    if root is not None and leads_out(path, root):
        return f"{name} is a link out of the artifact"
    if not path.is_file():
        return f"{name} is missing"
    if path.stat().st_size != recorded.bytes:
        return f"{name} has {path.stat().st_size} bytes, not {recorded.bytes}"
    if record_file(path) != recorded:
        return f"{name} has another digest"
    return ""
