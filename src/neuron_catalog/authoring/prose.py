"""Say in a line what a model is: what it does, and what its config says about how."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from transformers import PretrainedConfig

from neuron_catalog.authoring.anatomy import Anatomy

KINDS = {
    "zero-shot-image-classification": "texts and images in one space",
    "image-text-to-text": "language model that sees images",
    "text-generation": "decoder of texts",
    "text2text-generation": "encoder and decoder of texts",
    "fill-mask": "masked language model",
    "automatic-speech-recognition": "speech encoder",
    "speech-to-text": "transcriber of speech",
    "object-detection": "detector of objects",
    "depth-estimation": "estimator of depth",
    "universal-segmentation": "segmentation of images",
    "instance-segmentation": "segmentation of images",
    "semantic-segmentation": "segmentation of images",
    "image-classification": "image encoder",
    "time-series-prediction": "forecaster of time series",
}
"""The first of these tasks that a model serves says what it is; if it serves none, its family does."""

FAMILIES = {
    "audio-text-to-text": "language model that hears",
    "log-mel-text-to-text": "language model that hears",
    "spectrogram-text-to-text": "language model that hears",
    "speech-or-text-to-text": "encoder and decoder of sounds or texts",
    "audio-codes-decoder": "decoder of texts and audio codes",
    "text-audio-encoder": "texts and sounds in one space",
}
"""The families that say more than the tasks do."""

LAYERS = {
    re.compile(pattern): trait
    for pattern, trait in (
        ("sliding", "sliding windows"),
        ("chunked", "attention in chunks"),
        ("linear_attention", "linear attention"),
        ("^mamba", "state-space layers"),
        ("^conv", "short convolutions"),
        ("recurrent", "recurrent layers"),
    )
}
"""Kind of layer, as configs list them → what it brings."""


def summary(anatomy: Anatomy, family: str, tasks: Iterable[str]) -> str:
    """Say what a model is, from the tasks that it serves and its config's defaults."""
    served = set(tasks)
    by_task = next((kind for task, kind in KINDS.items() if task in served), family.replace("-", " "))
    kind = FAMILIES.get(family, by_task)
    *first, last = dict.fromkeys(_traits(anatomy.config)) or [""]
    traits = f"{', '.join(first)} and {last}" if first else last
    return f"{anatomy.title}, {kind}{' with ' if traits else ''}{traits}."


def _traits(config: PretrainedConfig) -> Iterator[str]:
    said = vars(config)
    if any(name.endswith("experts_per_tok") and value for name, value in said.items()):
        yield "a mixture of experts"
    if said.get("kv_lora_rank"):
        yield "latent attention"
    elif said.get("num_key_value_heads") and said["num_key_value_heads"] != said.get("num_attention_heads"):
        yield "grouped queries"
    for kind in said.get("layer_types") or ():
        yield from (trait for pattern, trait in LAYERS.items() if pattern.search(kind))
