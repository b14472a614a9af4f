"""Artifacts in stores: written there whole or not at all, and brought here once."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import filelock

from neuron_catalog.composition import Composition, intact_files, is_composition
from neuron_catalog.errors import NeuronCatalogError, RequestError
from neuron_catalog.inventory import MANIFEST_NAME, card_in
from neuron_catalog.manifest import Manifest
from neuron_catalog.signing import SIGNATURE, signature_in
from neuron_catalog.storage.home import cache_home
from neuron_catalog.storage.stores import Store


def upload_artifact(folder: Path, url: str, *, overwrite: bool = False) -> None:
    """Write an artifact, a whole pipeline too, to a store, with its card.

    Raises:
        RequestError: if it is none, something is there, or the store refuses or cannot be reached.
        VerificationError: if a file was altered.
    """
    store = Store(url)
    files = intact_files(folder)
    if not overwrite and store.read(MANIFEST_NAME) is not None:
        raise RequestError(f"There is an artifact at {url}.", "Choose another place, or add --overwrite.")
    store.upload(folder, dict.fromkeys([*files, *signature_in(folder), *card_in(folder)]), MANIFEST_NAME)


def downloaded_artifact(url: str) -> Path:
    """Return a folder with an artifact of a store. What was brought before is used again, if it is intact,
    by its manifest and signature. Its card is not brought: nothing that runs reads it.

    An interrupted download goes on where it was.

    Raises:
        RequestError: if there is none, the store refuses or cannot be reached, or the disk is full.
        VerificationError: if a file is not what the manifest says.
    """
    store, home = Store(url), cache_home()
    raw = store.read(MANIFEST_NAME)
    if raw is None:
        raise RequestError(f"{url} is no exported artifact: it has no {MANIFEST_NAME}.", "Check the address.")
    if home is None:
        raise RequestError("There is no home folder to bring it to.", "Set XDG_CACHE_HOME.")
    signature = store.read(SIGNATURE)
    name = hashlib.sha256(raw + (signature or b"")).hexdigest()[:32]
    place, waiting = home / "artifacts" / name, home / "artifacts" / f".{name}.download"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place.with_name(f".{name}.lock")):
            if place.is_dir() and not _is_intact(place):
                shutil.rmtree(place)
            if not place.is_dir():
                waiting.mkdir(exist_ok=True)
                _bring(store, raw, waiting)
                if signature is not None:
                    (waiting / SIGNATURE).write_bytes(signature)
                waiting.rename(place)
    except OSError as error:
        raise RequestError(
            f"{url} could not be brought to {place}: {error.strerror}.", "Check free space and permissions."
        ) from error
    return place


def _is_intact(folder: Path) -> bool:
    try:
        intact_files(folder)
    except NeuronCatalogError:
        return False
    return True


def _bring(store: Store, raw: bytes, folder: Path) -> None:
    (folder / MANIFEST_NAME).write_bytes(raw)
    if not is_composition(folder):
        for name, recorded in Manifest.read(folder).files.items():
            store.download(name, folder / name, recorded)
        return
    composition = Composition.read(folder)
    for name, part in composition.parts.items():
        (folder / name).mkdir(exist_ok=True)
        store.download(f"{name}/{MANIFEST_NAME}", folder / name / MANIFEST_NAME, part.manifest)
    for name, recorded in composition.all_files(folder).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        store.download(name, folder / name, recorded)
