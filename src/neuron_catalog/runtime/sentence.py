"""Sentence models at run time: `encode`, as in the library sentence-transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoProcessor, AutoTokenizer

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.runtime.model import NeuronModel

if TYPE_CHECKING:
    import numpy as np

    Embeddings = np.ndarray | Tensor

EMBEDDINGS = {"text": ("sentence_embedding", "text_embeds"), "image": ("image_embeds",)}
"""Modality → the outputs in which its embeddings may come."""


class SentenceModel(NeuronModel):
    """An exported model of sentence-transformers. It needs neither that library nor the checkpoint."""

    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
    ) -> Embeddings:
        """Return one vector for each text or image, in the order given; for a single one, one vector.

        Texts are sorted by length and go through the graph `batch_size` at a time, or as many as it takes.
        They are cut at the longest text that the model was trained for, as the library does.

        Raises:
            RequestError: if a text is longer than the graph (and the model was loaded without `truncate`), or
                there is no such prompt.
        """
        single = isinstance(inputs, str) or not isinstance(inputs, Sequence)
        rows = [inputs] if single else list(inputs)
        begin = self._prompt(prompt_name, prompt)
        modality = "text" if not rows or isinstance(rows[0], str) else "image"
        order = sorted(range(len(rows)), key=lambda row: -len(rows[row]) if modality == "text" else 0)
        size = batch_size if self.manifest.plan.dynamic_axes else min(batch_size, self._rows(modality))
        found: dict[int, Tensor] = {}
        for start in range(0, len(order), size):
            piece = order[start : start + size]
            given = self._embedded([rows[row] for row in piece], modality, begin)
            found |= dict(zip(piece, given, strict=True))
        vectors = (
            torch.stack([found[row] for row in range(len(rows))]) if rows else torch.empty(0, self.width)
        )
        if normalize_embeddings:
            vectors = functional.normalize(vectors, dim=-1)
        chosen = vectors[0] if single else vectors
        return chosen if convert_to_tensor else chosen.numpy()

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        name = next(name for names in EMBEDDINGS.values() for name in names if name in self._outputs)
        width = self._outputs[name].shape[-1]
        return width if width is not None else int(self.compiled.run(self._blank())[name].shape[-1])

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text at most: what the model was trained for, and no more than the graph takes."""
        return min(self._trained_length, self._longest)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the artifact."""
        return AutoTokenizer.from_pretrained(self.folder)

    @cached_property
    def _processor(self) -> Any:
        with quiet_transformers():
            return AutoProcessor.from_pretrained(self.folder)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """What the library wrote beside the model."""
        found: dict[str, Any] = {}
        for name in ("config_sentence_transformers.json", "sentence_bert_config.json"):
            if (self.folder / name).is_file():
                found |= json.loads((self.folder / name).read_bytes())
        return found

    @property
    def _outputs(self) -> dict[str, Any]:
        return {tensor.name: tensor for tensor in self.manifest.plan.outputs}

    @property
    def _longest(self) -> int:
        return self.manifest.plan.axes["sequence_length"]

    @property
    def _trained_length(self) -> int:
        trained = self._settings.get("max_seq_length") or self.tokenizer.model_max_length
        return min(int(trained), 2**31)

    def _rows(self, modality: str) -> int:
        axes = self.manifest.plan.axes
        return axes.get("batch_size") or axes[f"{modality}_batch_size"]

    def _prompt(self, name: str | None, prompt: str | None) -> str:
        prompts = self._settings.get("prompts") or {}
        name = name or self._settings.get("default_prompt_name")
        if prompt is not None or name is None:
            return prompt or ""
        if name not in prompts:
            raise RequestError(f"The model has no prompt {name!r}; {nearest(name, prompts)}", "Leave it out.")
        return str(prompts[name])

    def _embedded(self, rows: list[Any], modality: str, begin: str) -> Tensor:
        inputs = self._texts([begin + row for row in rows]) if modality == "text" else self._images(rows)
        outputs = self.compiled.run(self._blank() | inputs)
        name = next(name for name in EMBEDDINGS[modality] if name in outputs)
        return outputs[name]

    def _texts(self, texts: list[str]) -> dict[str, Tensor]:
        if self._settings.get("do_lower_case"):
            texts = [text.lower() for text in texts]
        encoded = self.tokenizer(
            [text.strip() for text in texts],
            padding=True,
            truncation="longest_first",
            max_length=self.max_seq_length if self.compiled.truncate else self._trained_length,
            return_tensors="pt",
        )
        return self._taken(encoded)

    def _images(self, images: list[Any]) -> dict[str, Tensor]:
        return self._taken(self._processor.image_processor(images, return_tensors="pt"))

    def _taken(self, encoded: Any) -> dict[str, Tensor]:
        names = {tensor.name for tensor in self.manifest.plan.inputs}
        return {name: value for name, value in encoded.items() if name in names}

    def _blank(self) -> dict[str, Tensor]:
        """One row of nothing for each modality, where a graph takes several: rows do not see each other."""
        return dict(self._blank_rows())

    def _blank_rows(self) -> Iterator[tuple[str, Tensor]]:
        for tensor in self.manifest.plan.inputs:
            shape = (1, *tensor.shape[1:])
            fill = 1 if tensor.fill == "padded_mask" else 0
            yield tensor.name, torch.full(shape, fill, dtype=getattr(torch, tensor.dtype))
