"""The files of a checkpoint: which belong to its tokenizer, decide about the model, or could run code."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuron_catalog.digests import record_file
from neuron_catalog.errors import RequestError

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


def require_safetensors(folder: Path, allow_pickle: bool) -> None:
    """Make sure that a folder on this machine has weights, and no pickle is needed to read them.

    Raises:
        RequestError: naming --allow-pickle if it would help.
    """
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("pytorch_model*.bin")):
        if not allow_pickle:
            raise RequestError(
                f"{folder} has pickled weights only, and a pickle can run any code when it is read.",
                "Convert it to safetensors, or add --allow-pickle if you trust its author.",
            )
        return
    raise RequestError(
        f"The folder {folder} has no weights (*.safetensors).",
        "Give a folder written by save_pretrained.",
    )


def code_within(config: Mapping[str, Any], within: str = "") -> str:
    """Return where a config inside of a config has an `auto_map`: code that transformers may run."""
    for name, value in config.items():
        if name == "auto_map" and within:
            return f"{within}{name}"
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, Mapping) and (found := code_within(inner, f"{within}{name}.")):
                return found
    return ""
