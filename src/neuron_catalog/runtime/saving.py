"""Write a loaded artifact into a folder, or to the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of whichever client it uses

from neuron_catalog.composition import intact_files
from neuron_catalog.digests import record_file
from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.exporting import backends
from neuron_catalog.exporting.cards import write_card
from neuron_catalog.inventory import MANIFEST_NAME, card_in
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.signing import SIGNATURE, signature_in
from neuron_catalog.storage.publish import publication, require_space


class Saved:
    """What an artifact and a whole pipeline, once loaded, have in common: they can be saved and uploaded."""

    def save_pretrained(self, save_directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the artifact into a folder; return the folder."""
        raise NotImplementedError

    def _title(self) -> str:
        """Return what the message of an upload calls it."""
        raise NotImplementedError

    def push_to_hub(
        self,
        save_directory: str | Path,
        repository_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
    ) -> str:
        """Save the artifact into a folder and upload that to a repository of the hub, made if need be.

        Returns the address of the commit.

        Raises:
            RequestError: if the hub refuses, or cannot be reached.
        """
        folder = self.save_pretrained(save_directory, overwrite=True)
        message = f"Upload {self._title()}"
        return _upload(folder, repository_id, message, private=private, token=token, revision=revision)


def save(compiled: CompiledModel, source: Path, target: Path, *, overwrite: bool, anew: bool) -> None:
    """Copy an artifact byte for byte; with `anew`, write its graphs as they are in memory,
    and another card.

    Raises:
        RequestError: if `target` is taken or cannot be written, or the artifact is not ours.
        VerificationError: if a file of `source` was altered since it was loaded.
    """
    if not compiled.manifest.neuron_catalog:
        raise RequestError(
            f"{source} was exported by optimum-neuron and can only be read.",
            "Copy the folder, or export anew.",
        )
    with publication(target, overwrite) as folder:
        copy_artifact(source, folder)
        if anew:
            (folder / SIGNATURE).unlink(missing_ok=True)
            _write_graphs(compiled, folder)


def copy_artifact(source: Path, target: Path) -> None:
    """Copy the files of an artifact, or of a whole pipeline, with signature and card, and nothing else.

    Raises:
        RequestError: if there is none, or one that this version cannot read.
        VerificationError: if a file was altered.
    """
    for name in (*intact_files(source), MANIFEST_NAME, *signature_in(source), *card_in(source)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _write_graphs(compiled: CompiledModel, folder: Path) -> None:
    manifest = compiled.manifest
    path = folder / manifest.file
    require_space(path, manifest.source.weights_bytes)
    backends.backend_of(manifest).save(compiled.program, path)
    files = {**manifest.files, manifest.file: record_file(path)}
    manifest = manifest.model_copy(update={"files": files})
    manifest.write(folder)
    write_card(folder, manifest)  # what the old one said is true of other weights


def _upload(
    folder: Path,
    repository_id: str,
    message: str,
    *,
    private: bool | None,
    token: str | None,
    revision: str | None,
) -> str:
    """Upload a folder to a repository of the hub, made if need be; return the address of the commit.

    Raises:
        RequestError: if the hub refuses, or cannot be reached.
    """
    api = HfApi(token=token)
    try:
        api.create_repo(repository_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository_id, folder_path=folder, revision=revision, commit_message=message
        )
    except (HTTPError, OSError, RuntimeError, ValueError) as error:  # the client wraps what storage refuses
        raise RequestError(
            f"{repository_id} could not be written: {first_line(error)}",
            f"Check the name, the token and the network; the artifact lies in {folder}.",
        ) from error
    return str(commit.commit_url)
