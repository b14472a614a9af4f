"""Folders in stores of objects: `s3://…`, `file://…`, and whatever else fsspec opens.

A store has no rename. So the file that describes a folder is written last and read first: where it is not,
there is nothing, whatever else lies there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from neuron_catalog.digests import FileRecord, alteration
from neuron_catalog.errors import (
    NeuronCatalogError,
    RequestError,
    UsageError,
    VerificationError,
    first_line,
)

BLOCK = 2**22
"""Bytes that are read at a time."""

PART = ".part"
"""What the name of a file ends with that is not all there."""


def is_url(text: str) -> bool:
    """Tell an address in a store from a path and from an id of the hub."""
    return "://" in text


@dataclass(frozen=True)
class Store:
    """A folder in a store. Who may use it, the store's own settings say; an address holds no secrets."""

    url: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username or parts.password or parts.query:
            raise UsageError(
                f"An address of {parts.scheme}:// holds a secret or options.",
                "Addresses are written into logs: put credentials where the store's client looks for them.",
            )

    @cached_property
    def _opened(self) -> tuple[AbstractFileSystem, str]:
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise RequestError(
                f"{self.url} cannot be opened: {first_line(error)}",
                'Check the address. For s3:// install: pip install "neuron-catalog[s3]"',
            ) from error
        return fs, root.rstrip("/")

    def path(self, name: str) -> str:
        """Return the whole path of a file."""
        return f"{self._opened[1]}/{name}"

    def inner(self, name: str) -> Store:
        """Return a folder in this one."""
        return Store(f"{self.url.rstrip('/')}/{name}")

    def read(self, name: str) -> bytes | None:
        """Return what a small file holds; nothing if it is not there.

        Raises:
            RequestError: if the store cannot be reached, or refuses.
        """
        fs = self._opened[0]
        with self._told("read"):
            fs.invalidate_cache()
            try:
                content: bytes = fs.cat_file(self.path(name))
            except FileNotFoundError:
                return None
        return content

    def names(self) -> list[str]:
        """Return the names of what lies in this folder.

        Raises:
            RequestError: if the store cannot be reached, or refuses.
        """
        fs, root = self._opened
        with self._told("listed"):
            fs.invalidate_cache()
            try:
                return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in fs.ls(root, detail=False))
            except FileNotFoundError:
                return []

    def read_all(self) -> dict[str, bytes]:
        """Return what all files of this folder hold, by their names; for small ones.

        Raises:
            RequestError: if the store cannot be reached, or refuses.
        """
        fs, root = self._opened
        with self._told("read"):
            fs.invalidate_cache()
            try:
                if isinstance(fs, LocalFileSystem):  # ten times faster by oneself
                    with os.scandir(root) as there:
                        return {each.name: Path(each.path).read_bytes() for each in there if each.is_file()}
                paths = [each["name"] for each in fs.ls(root, detail=True) if each["type"] == "file"]
            except FileNotFoundError:
                return {}
            found = fs.cat(paths, on_error="omit") if paths else {}
        return {path.rsplit("/", 1)[-1]: content for path, content in found.items()}

    def write(self, name: str, content: bytes) -> None:
        """Write a small file: whole, or not at all.

        Raises:
            RequestError: if the store cannot be reached, or refuses.
        """
        fs, path = self._opened[0], self.path(name)
        with self._told("written"):
            if not isinstance(fs, LocalFileSystem):
                fs.pipe_file(path, content)
                return
            beside = Path(f"{path}.{token_hex(4)}{PART}")
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content)
            beside.replace(path)

    def upload(self, folder: Path, names: Iterable[str], describing: str) -> None:
        """Write files of a folder, and the one that describes them last.

        What was there under this description counts as gone from the first moment. If it fails, what was
        written is removed again.

        Raises:
            RequestError: if the store cannot be reached, or refuses.
        """
        fs, written = self._opened[0], list[str]()
        with self._told("written"):
            self._remove(describing)
            try:
                for name in (*names, describing):
                    if isinstance(
                        fs, LocalFileSystem
                    ):  # a store of objects would make a bucket of a typing error
                        fs.makedirs(self.path(name).rsplit("/", 1)[0], exist_ok=True)
                    fs.put_file(str(folder / name), self.path(name))
                    written.append(name)
            finally:
                if describing not in written:
                    for name in written:
                        with suppress(Exception):
                            self._remove(name)

    def download(self, name: str, target: Path, recorded: FileRecord) -> None:
        """Bring a file to a place, going on where an earlier download was cut off.

        Raises:
            RequestError: if the store cannot be reached, refuses, or has no such file.
            VerificationError: if it is not what was recorded.
        """
        if not alteration(target, recorded):
            return
        part = target.with_name(f"{target.name}{PART}")
        with self._told("read"):
            for _ in range(2):  # once more from the beginning, if what was cut off belonged to another file
                self._append(name, part, recorded.bytes)
                if not alteration(part, recorded):
                    part.replace(target)
                    return
                part.unlink()
        raise VerificationError(
            f"{self.url}/{name} is not what the description of its folder says.",
            "Do not use it; upload it again.",
        )

    def _append(self, name: str, part: Path, size: int) -> None:
        part.parent.mkdir(parents=True, exist_ok=True)
        with self._opened[0].open(self.path(name), "rb") as source, part.open("ab") as target:
            source.seek(min(target.tell(), size))
            while block := source.read(BLOCK):
                target.write(block)

    def _remove(self, name: str) -> None:
        fs, path = self._opened[0], self.path(name)
        fs.invalidate_cache()
        if fs.exists(path):  # what a client raises for a file that is not there differs from store to store
            fs.rm_file(path)

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Turn whatever a store's client raises into cause and remedy: nobody can list these errors."""
        try:
            yield
        except NeuronCatalogError:
            raise
        except Exception as error:
            full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
            raise RequestError(
                f"{self.url} could not be {done}: {first_line(error)}",
                "Make room on the disk." if full else "Check the address, the network and your credentials.",
            ) from error
