"""The files of a checkpoint: which belong to its tokenizer or processor, and which decide about the model."""

from __future__ import annotations

import shutil
from pathlib import Path

from neuron_catalog.digests import record_file

PREPROCESSING_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "bpe.codes",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template*",
)


def digests_of_what_decides(folder: Path, pickled: bool) -> dict[str, str]:
    """Return path → SHA-256 of the files that decide about a model, beside its config and tokenizer."""
    suffixes = (".safetensors", ".json", ".bin") if pickled else (".safetensors", ".json")
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in suffixes and path.is_file())
    return {path.relative_to(folder).as_posix(): record_file(path).sha256 for path in files if _decides(path)}


def _decides(path: Path) -> bool:
    return path.name != "config.json" and not any(path.match(pattern) for pattern in PREPROCESSING_FILES)


def copy_matching(source: Path, patterns: tuple[str, ...], target: Path) -> None:
    """Copy the files of a folder whose names match into another."""
    for pattern in patterns:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copyfile(file, target / file.name)
