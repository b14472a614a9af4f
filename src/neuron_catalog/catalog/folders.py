"""Which folders make up the catalog, and which files in them belong to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from neuron_catalog.errors import RequestError

PATH_VARIABLE = "NEURON_CATALOG_PATH"

TOP_FILES = ("tasks.yaml", "normalized_configs.yaml")
LEVELS = ("families", "components", "pipelines", "architectures")
"""The folders of a catalog that hold one file for each name."""


def shipped_folder() -> Path:
    """Return the folder of the catalog that comes with the package: in a wheel, or in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_catalog"
    return installed if installed.is_dir() else package.parents[1] / "catalog"


def catalog_folders(folders: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """Return `folders` first, then those of NEURON_CATALOG_PATH, then the shipped one."""
    from_environment = filter(None, os.environ.get(PATH_VARIABLE, "").split(os.pathsep))
    return (*map(Path, (*folders, *from_environment)), shipped_folder())


def require_folders(folders: Iterable[Path]) -> None:
    """Refuse folders that do not exist.

    Raises:
        RequestError: naming the first of them.
    """
    for folder in folders:
        if not folder.is_dir():
            raise RequestError(
                f"The catalog folder {folder} does not exist.",
                f"Check --catalog and the variable {PATH_VARIABLE}.",
            )


def front_most(folders: Sequence[Path], level: str) -> dict[str, int]:
    """Return name → position of the folder that defines it, sorted by name; folders in front win."""
    found: dict[str, int] = {}
    for position in reversed(range(len(folders))):
        found |= dict.fromkeys(_names(folders[position], level), position)
    return dict(sorted(found.items()))


def files_in(folder: Path) -> list[str]:
    """Return every catalog file of a folder, relative to it."""
    found = [name for name in TOP_FILES if (folder / name).exists()]
    for level in LEVELS:
        found += [f"{level}/{name}.yaml" for name in sorted(_names(folder, level))]
    return found


def _names(folder: Path, level: str) -> list[str]:
    try:
        listed = os.listdir(folder / level)  # noqa: PTH208, a Path for each of thousands of files takes longer
    except OSError:
        return []  # a catalog need not have every level
    return [name.removesuffix(".yaml") for name in listed if name.endswith(".yaml")]
