"""Build a pipeline of transformers from an artifact, with the tokenizer and processors that lie in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer
from transformers.pipelines import get_supported_tasks

from neuron_catalog.errors import RequestError
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.runtime.auto import NeuronAutoModel
from neuron_catalog.runtime.model import NeuronModel

CALLED = {
    "semantic-segmentation": "image-segmentation",
    "universal-segmentation": "image-segmentation",
    "instance-segmentation": "image-segmentation",
}
"""Task of the catalog → pipeline of transformers, where it has another name."""


def pipeline(task: str | None, model: str | Path | NeuronModel, **arguments: Any) -> Any:
    """Return `transformers.pipeline` around an artifact, ready to be called with texts, images or sounds.

    `task` is the name of a pipeline; if it is None, the one for which the model was exported. `arguments` go
    to `transformers.pipeline`, but for those of `from_pretrained` (`num_workers`, `truncate`, `revision`,
    `token`, `cache_dir`). Long texts are cut at the compiled length where the pipeline cuts by itself.

    Raises:
        RequestError: if there is no such artifact, or transformers has no such pipeline.
        Exception: transformers' own, if the artifact lacks a tokenizer or processor and none is given.
    """
    own = {name: arguments.pop(name) for name in LOADING if name in arguments}
    loaded = model if isinstance(model, NeuronModel) else NeuronAutoModel.from_pretrained(model, **own)
    chosen = task or _called(loaded)
    if chosen not in get_supported_tasks():
        raise RequestError(
            f"transformers {transformers.__version__} has no pipeline {chosen!r}.",
            "Name another one, or call the model with what its tokenizer or processor returns.",
        )
    with quiet_transformers():
        return transformers.pipeline(chosen, model=loaded, **(dict(_parts(loaded)) | arguments))


LOADING = ("num_workers", "truncate", "revision", "token", "cache_dir")


def _called(model: NeuronModel) -> str:
    task = model.manifest.plan.task
    sees_only = [tensor.name for tensor in model.manifest.plan.inputs][:1] == ["pixel_values"]
    if task == "feature-extraction" and sees_only:
        return "image-feature-extraction"
    return CALLED.get(task, task)


def _parts(model: NeuronModel) -> Iterator[tuple[str, Any]]:
    """Load what lies in the artifact; a tokenizer learns how long a text may be."""
    folder = model.folder
    with quiet_transformers():
        if (folder / "tokenizer_config.json").is_file():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            axes = model.manifest.plan.axes
            longest = axes.get("prompt_length") or axes.get("sequence_length")
            tokenizer.model_max_length = min(tokenizer.model_max_length, longest or sys.maxsize)
            yield "tokenizer", tokenizer
        settings = _settings(folder)
        if "image_processor_type" in settings:
            yield "image_processor", AutoImageProcessor.from_pretrained(folder)
        if "feature_extractor_type" in settings:
            yield "feature_extractor", AutoFeatureExtractor.from_pretrained(folder)


def _settings(folder: Path) -> dict[str, Any]:
    """What the folder says of processors: one has a file of its own, several share one."""
    found: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            settings = json.loads((folder / name).read_bytes())
            parts = [each for each in settings.values() if isinstance(each, dict)]
            for each in (settings, *parts):
                found |= each
    return found
