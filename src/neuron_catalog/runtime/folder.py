"""Find an artifact: a folder, a repository of the hub, or an address in a store."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import MANIFEST_NAME
from neuron_catalog.models.assembly import INDEX_NAME
from neuron_catalog.models.sources import HubAccess, hub_errors, require_folder_or_id
from neuron_catalog.runtime.foreign import is_foreign
from neuron_catalog.signing import require_trusted
from neuron_catalog.storage.stores import is_url
from neuron_catalog.transfer import downloaded_artifact

EXPORT_FIRST = "Add export=True to export it first, or run `neuron-catalog export --model {0}`."

DESCRIPTIONS = ("config.json", INDEX_NAME)
"""What a checkpoint has: one model, or a pipeline."""


def artifact_folder(model_id: str, hub: HubAccess) -> Path:
    """Return the folder of an artifact, downloaded if it is one of the hub or of a store.

    Raises:
        RequestError: if there is no such folder, repository or address, or it holds a checkpoint.
        VerificationError: if what a store has is not what its manifest says, or it is not signed with the key
            of this machine.
    """
    if is_url(model_id):
        folder = downloaded_artifact(model_id)
        require_trusted(folder)
        return folder
    require_folder_or_id(model_id)
    folder = Path(model_id)
    if not folder.is_dir():
        with hub_errors(model_id):
            try:
                _fetched(model_id, MANIFEST_NAME, hub)
            except EntryNotFoundError:
                if _is_checkpoint(model_id, hub):
                    raise _no_artifact(model_id, "the repository") from None
            folder = Path(
                snapshot_download(model_id, revision=hub.revision, token=hub.token, cache_dir=hub.cache_dir)
            )
    described = any((folder / name).is_file() for name in DESCRIPTIONS)
    if described and not ((folder / MANIFEST_NAME).is_file() or is_foreign(folder)):
        raise _no_artifact(model_id, "the folder")
    require_trusted(folder)
    return folder


def _is_checkpoint(model_id: str, hub: HubAccess) -> bool:
    """Whether a repository without a manifest is not an artifact of optimum-neuron either."""
    try:
        return not is_foreign(Path(_fetched(model_id, "config.json", hub)).parent)
    except EntryNotFoundError:
        _fetched(model_id, INDEX_NAME, hub)
        return True


def _fetched(model_id: str, name: str, hub: HubAccess) -> str:
    return hf_hub_download(model_id, name, revision=hub.revision, token=hub.token, cache_dir=hub.cache_dir)


def _no_artifact(model_id: str, what: str) -> RequestError:
    return RequestError(
        f"{model_id} is a checkpoint, not an exported model: {what} has no {MANIFEST_NAME}.",
        EXPORT_FIRST.format(model_id),
    )
