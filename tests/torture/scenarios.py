"""What is interrupted, and what must hold after it was."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.exporting.compiling import silent
from neuron_catalog.exporting.exporter import export_into
from neuron_catalog.exporting.request import ExportRequest, Resolved, resolve
from neuron_catalog.inventory import CARD_NAME
from neuron_catalog.manifest import MANIFEST_NAME, Manifest
from neuron_catalog.storage import disk
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.keys import Key
from neuron_catalog.storage.publish import publication
from neuron_catalog.storage.upkeep import collect, verify

OLD = {"one": b"old" * 50_000, "two": b"old"}
NEW = {"one": b"new" * 60_000, "three": b"new"}
KEYS = [Key({"seed": seed}) for seed in range(3)]


@dataclass(frozen=True)
class Scenario:
    """Work in a folder.

    `require` raises if what must hold does not; it is told whether the work came to its end.
    """

    name: str
    before: Callable[[Path], None]
    run: Callable[[Path], None]
    require: Callable[[Path, bool], None]


def a_source(folder: Path) -> None:
    """What is copied; nothing is there before."""
    (folder / "source").mkdir()
    written(folder / "source", NEW)


def written(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def content(folder: Path) -> dict[str, bytes] | None:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None


def an_old_folder(folder: Path) -> None:
    a_source(folder)
    (folder / "out").mkdir()
    written(folder / "out", OLD)


def publish(folder: Path) -> None:
    """Write a folder in place of whatever is there; the files are copied, as a hit of the cache is."""
    source = folder / "source"
    with publication(folder / "out", overwrite=True) as partial:
        for name in NEW:
            shutil.copyfile(source / name, partial / name)


def publish_in_two_steps(folder: Path) -> None:
    disk._renameat2 = lambda: None
    publish(folder)


def new_or(*others: dict[str, bytes] | None) -> Callable[[Path, bool], None]:
    def require(folder: Path, finished: bool) -> None:
        found = content(folder / "out")
        assert found == NEW if finished else found in (NEW, *others), sorted(found or ["nothing"])

    return require


def compile_cache(folder: Path) -> CompileCache:
    return CompileCache(folder / "cache")


def keep_and_fetch(folder: Path) -> None:
    source = folder / "source"
    for key in KEYS:
        with compile_cache(folder).lock(key.digest, lambda: None):
            compile_cache(folder).keep(key, {}, source, NEW)
    with publication(folder / "out", overwrite=True) as partial:
        if not compile_cache(folder).fetch(KEYS[0], partial):
            written(partial, NEW)


def full_cache(folder: Path) -> None:
    a_source(folder)
    keep_and_fetch(folder)


def empty_the_cache(folder: Path) -> None:
    collect(compile_cache(folder), 0)


def whole_cache(folder: Path, finished: bool = True) -> None:
    """No entry is half there: what is seen is what was kept."""
    del finished
    for verdict in verify(compile_cache(folder)):
        assert not verdict.altered, verdict.altered


def kept_or_nothing(folder: Path, finished: bool) -> None:
    whole_cache(folder)
    new_or(None)(folder, finished)


@cache
def resolved(seed: int) -> Resolved:
    """What is exported; before the first process is hit, so that none of them reads the catalog."""
    return resolve(ExportRequest(architecture="esm", task="fill-mask", seed=seed), load_catalog())


def export(folder: Path) -> None:
    export_into(folder / "out", resolved(0), True, silent, compile_cache(folder), overwrite=True)


def nothing(folder: Path) -> None:
    """Nothing is there before."""


def an_old_artifact(folder: Path) -> None:
    export_into(folder / "out", resolved(1), False, silent)


def artifact_or_nothing(folder: Path, finished: bool) -> None:
    """There is no artifact or a whole one: the new one, or what was there before."""
    whole_cache(folder)
    out = folder / "out"
    if not out.exists() and not finished:
        return
    manifest = Manifest.read(out)
    manifest.require_intact(out)
    assert {path.name for path in out.iterdir()} == {*manifest.files, MANIFEST_NAME, CARD_NAME}
    assert not finished or manifest.seed == 0


SCENARIOS = (
    Scenario("publish a folder", a_source, publish, new_or(None)),
    Scenario("replace a folder", an_old_folder, publish, new_or(OLD)),
    Scenario("replace a folder in two steps", an_old_folder, publish_in_two_steps, new_or(OLD, None)),
    Scenario("keep and fetch", a_source, keep_and_fetch, kept_or_nothing),
    Scenario("empty the cache", full_cache, empty_the_cache, whole_cache),
    Scenario("export a model", nothing, export, artifact_or_nothing),
    Scenario("export over another model", an_old_artifact, export, artifact_or_nothing),
)
