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
    require_folder_or_id(model)
    if Path(model).is_dir():
        return "sentence_transformers" if (Path(model) / MODULES_FILE).is_file() else "transformers"
    with hub_errors(model):
        try:
            hf_hub_download(model, MODULES_FILE, revision=revision, cache_dir=cache_dir, token=token)
        except EntryNotFoundError:  # also when the network is away and the cache has no such file
            return "transformers"
    return "sentence_transformers"
