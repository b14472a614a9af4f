"""The libraries that build eager models, and which of them a checkpoint was saved with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from neuron_catalog.models.sentence import MODULES_FILE, SentenceCheckpointSource, SentenceTinySource
from neuron_catalog.models.sources import CheckpointSource, hub_errors, require_folder_or_id
from neuron_catalog.models.tiny import TinySource
from neuron_catalog.schema.words import Library


@dataclass(frozen=True)
class Sources:
    """The two sources of a library: checkpoints and tiny models."""

    checkpoint: type[CheckpointSource]
    tiny: type[TinySource]


PIPELINE_FILE = "model_index.json"
"""By which a whole pipeline of diffusers is told."""

LIBRARIES: dict[str, Sources] = {
    "transformers": Sources(CheckpointSource, TinySource),
    "sentence_transformers": Sources(SentenceCheckpointSource, SentenceTinySource),
}
"""Word in the YAML → sources."""


def saved_with(
    model: str, revision: str | None = None, cache_dir: str | None = None, token: str | None = None
) -> Library:
    """Return the library that a folder or a repository of the hub was saved with.

    Raises:
        RequestError: if there is no such folder or repository.
    """
    if _holds(model, MODULES_FILE, revision, cache_dir, token):
        return "sentence_transformers"
    return "transformers"


def saved_as_pipeline(model: str, revision: str | None = None, cache_dir: str | None = None) -> bool:
    """Tell whether a folder or a repository of the hub holds a whole pipeline of diffusers.

    Raises:
        RequestError: if there is no such folder or repository.
    """
    return _holds(model, PIPELINE_FILE, revision, cache_dir, None)


def _holds(model: str, name: str, revision: str | None, cache_dir: str | None, token: str | None) -> bool:
    require_folder_or_id(model)
    if Path(model).is_dir():
        return (Path(model) / name).is_file()
    with hub_errors(model):
        try:
            hf_hub_download(model, name, revision=revision, cache_dir=cache_dir, token=token)
        except EntryNotFoundError:  # also when the network is away and the cache has no such file
            return False
    return True
