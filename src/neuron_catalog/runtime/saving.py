"""Write a loaded artifact into a folder, or to the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of whichever client it uses

from neuron_catalog.digests import record_file
from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.exporting import backends
from neuron_catalog.manifest import MANIFEST_NAME, Manifest
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.signing import SIGNATURE
from neuron_catalog.storage.publish import publication, require_space


def save(compiled: CompiledModel, source: Path, target: Path, *, overwrite: bool, anew: bool) -> None:
    """Copy an artifact byte for byte; with `anew`, write its graphs as they are in memory.

    Raises:
        RequestError: if `target` is taken or cannot be written, or the artifact is not ours.
        VerificationError: if a file of `source` was altered since it was loaded.
    """
    if not compiled.manifest.neuron_catalog:
        raise RequestError(
            f"{source} was exported by optimum-neuron and can only be read.",
            "Copy the folder, or export anew.",
        )
    manifest = Manifest.read(source)
    manifest.require_intact(source)
    with publication(target, overwrite) as folder:
        signature = () if anew or not (source / SIGNATURE).is_file() else (SIGNATURE,)
        for name in (*manifest.files, MANIFEST_NAME, *signature):
            shutil.copyfile(source / name, folder / name)
        if anew:
            _write_graphs(compiled, folder)


def _write_graphs(compiled: CompiledModel, folder: Path) -> None:
    manifest = compiled.manifest
    path = folder / manifest.file
    require_space(path, manifest.source.weights_bytes)
    backends.backend_of(manifest).save(compiled.program, path)
    files = {**manifest.files, manifest.file: record_file(path)}
    manifest.model_copy(update={"files": files}).write(folder)


def upload(
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
