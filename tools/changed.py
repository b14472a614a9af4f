"""Print the architectures that a change concerns, one a line: those that `selftest` shall run for it.

    python tools/changed.py --base origin/main        # what this branch changed
    python tools/changed.py catalog/families/text-encoder.yaml
    python tools/changed.py --smoke                   # the smoke set alone

A changed architecture concerns itself, a changed family all of its architectures. What concerns everything
(tasks, normalized configs, source files, versions) is tried on the smoke set: one architecture for each
combination of family, library, wrapper and cures, and the tenth of the catalog whose turn it is today.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.errors import NeuronCatalogError

ROOT = Path(__file__).resolve().parents[1]

CONCERNS_ALL = ("catalog/", "src/", "constraints/", "pyproject.toml")
"""Where a change may alter any export, unless it is of one architecture or family."""

Part = tuple[int, int]
"""K of N, K counting from 1."""

TENTHS = 10

PLACES = ("architectures/*.yaml", "components/*.yaml", "pipelines/*.yaml", "evidence/*.jsonl")
"""Files of a catalog that are called by what they are about."""


def concerned(catalog: Catalog, paths: Iterable[str], part: Part) -> tuple[str, ...]:
    """Return the names of the catalog that changes of files, relative to the repository, concern.

    Raises:
        CatalogError: if a file is wrong that has to be read to tell.
    """
    names: set[str] = set()
    for path in map(PurePosixPath, paths):
        if path.match("catalog/families/*.yaml"):
            found = {name for name in catalog.architectures if catalog.get(name).family == path.stem}
            found |= {name for name, each in catalog.components.items() if each.family == path.stem}
            names |= found | pipelines_of(catalog, found)
        elif any(path.match(f"catalog/{place}") for place in PLACES):
            found = {path.stem} & set(catalog.names)
            names |= found | pipelines_of(catalog, found)
        elif str(path).startswith(CONCERNS_ALL):
            names |= set(smoke_set(catalog, part))
    return tuple(sorted(names))


def pipelines_of(catalog: Catalog, names: set[str]) -> set[str]:
    """Return the pipelines that have one of these components."""
    return {
        name
        for name, pipeline in catalog.pipelines.items()
        if names & {part.component for part in pipeline.parts.values()}
    }


def smoke_set(catalog: Catalog, part: Part) -> tuple[str, ...]:
    """Return one architecture and one component of each kind, and a part of everything.

    Raises:
        CatalogError: if a file is wrong.
    """
    selections = (*catalog.architectures, *catalog.components)
    first = {kind(catalog, name): name for name in reversed(selections)}
    return tuple(sorted({*first.values(), *part_of(catalog.names, part)}))


def kind(catalog: Catalog, name: str) -> tuple[str, ...]:
    """Return what decides which code an architecture or component goes through."""
    found = catalog.selection(name)
    return found.family, found.library, found.wrapper, *found.cures


def part_of(names: Iterable[str], part: Part) -> tuple[str, ...]:
    """Return the names that belong to a part. Where a name belongs does not depend on the others."""
    k, n = part
    return tuple(name for name in names if int(hashlib.sha256(name.encode()).hexdigest(), 16) % n == k - 1)


def part_of_day(day: datetime.date) -> Part:
    """Return the tenth whose turn it is: ten days in a row go through the whole catalog."""
    return day.toordinal() % TENTHS + 1, TENTHS


def today() -> datetime.date:
    """Return the day in UTC, which is the same everywhere."""
    return datetime.datetime.now(datetime.UTC).date()


def changed_since(base: str) -> list[str]:
    """Return the files that were changed, added or deleted since this branch left `base`, committed or not.

    Raises:
        subprocess.CalledProcessError: if git cannot tell.
    """
    changed = _git("diff", "--name-only", "--no-renames", "-z", "--merge-base", base)
    return changed + _git("ls-files", "--others", "--exclude-standard", "-z")


def _git(*arguments: str) -> list[str]:
    told = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for path in told.stdout.split("\0") if path]


def parse_part(text: str) -> Part:
    """Read `K/N`."""
    k, slash, n = text.partition("/")
    if not (slash and k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part: write K/N, such as 3/10")
    return int(k), int(n)


def main() -> int:
    """Print the names; none if the change concerns no architecture."""
    parser = argparse.ArgumentParser(description="Print the architectures that a change concerns.")
    parser.add_argument("paths", nargs="*", help="changed files, relative to the repository")
    parser.add_argument("--base", metavar="REF", help="take the files changed since the branch left REF")
    parser.add_argument("--smoke", action="store_true", help="print the smoke set, whatever changed")
    parser.add_argument("--part", type=parse_part, metavar="K/N", help="the part instead of today's tenth")
    given = parser.parse_args()
    if not (given.paths or given.base or given.smoke):
        parser.error("say what changed: paths, --base or --smoke")
    part = given.part or part_of_day(today())
    try:
        paths = [*given.paths, *(changed_since(given.base) if given.base else ())]
        catalog = Catalog([ROOT / "catalog"])
        names = set(concerned(catalog, paths, part)) | set(smoke_set(catalog, part) if given.smoke else ())
    except subprocess.CalledProcessError as error:
        print(f"git {error.cmd[1]} failed: {error.stderr.strip()}", file=sys.stderr)
        return 2
    except NeuronCatalogError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if not names:
        print("The change concerns no architecture.", file=sys.stderr)
    for name in sorted(names):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
