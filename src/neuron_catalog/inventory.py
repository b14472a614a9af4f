"""The file `neuron_catalog.json`: written into an artifact, read back, and held against the files there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from neuron_catalog.digests import leads_out
from neuron_catalog.errors import RequestError, VerificationError
from neuron_catalog.parts import Record

MANIFEST_NAME = "neuron_catalog.json"

CARD_NAME = "README.md"
"""The card in the root of an artifact: what the manifest says, for people, who may edit it. No digest
and no signature covers it."""

MOST_BYTES = 8 * 2**20
"""A larger manifest is not read: JSON can take 20 times its size in memory, and none comes near this one."""

FORMAT = 1
"""Version of the file that is written, and the only one that is read."""


class Inventory(Record):
    """What the file says of a model, or of a whole pipeline."""

    format: Literal[1] = 1
    neuron_catalog: str
    """Version of this package; empty for an artifact of optimum-neuron, which has no manifest of its own."""

    def write(self, folder: Path) -> None:
        """Write it into `folder`."""
        (folder / MANIFEST_NAME).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def parsed(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            RequestError: if this version cannot read it.
        """
        if (written := said_in(path.parent).get("format", 0)) > FORMAT:
            raise RequestError(
                f"{path} was written by a newer neuron-catalog: its format is {written}, not {FORMAT}.",
                "Upgrade neuron-catalog.",
            )
        if path.stat().st_size > MOST_BYTES:
            raise RequestError(f"{path} is larger than {MOST_BYTES >> 20} MiB.", "Export again.")
        try:
            return cls.model_validate_json(path.read_bytes())
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise RequestError(
                f"{path} cannot be read: {place}: {first['msg']}.",
                "Export again, or use the version of neuron-catalog that wrote it.",
            ) from None

    def altered_files(self, folder: Path) -> tuple[str, ...]:
        """Return a sentence for each file whose content is not what was exported."""
        raise NotImplementedError

    def require_intact(self, folder: Path) -> None:
        """Hold every file to its digest.

        Raises:
            VerificationError: naming the files that were altered.
        """
        altered = self.altered_files(folder)
        if leads_out(folder / MANIFEST_NAME, folder):
            altered = (f"{MANIFEST_NAME} is a link out of the artifact", *altered)
        if altered:
            raise VerificationError(
                f"The artifact {folder} was altered after it was exported: {'; '.join(altered)}.",
                "Do not use it; copy it again or export again.",
            )


def card_in(folder: Path) -> tuple[str, ...]:
    """Return the name of the card, if there is one: it belongs to what is copied of an artifact.

    A link to a file outside of the folder is none: whoever copied it would give that file away.
    """
    path = folder / CARD_NAME
    return (CARD_NAME,) if path.is_file() and not leads_out(path, folder) else ()


def said_in(folder: Path) -> dict[str, Any]:
    """Return what the file in a folder says, whatever it is worth; nothing if there is no JSON object."""
    path = folder / MANIFEST_NAME
    try:
        said = json.loads(path.read_bytes()) if path.stat().st_size <= MOST_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) and isinstance(said.get("format", 0), int) else {}
