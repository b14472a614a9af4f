"""Models of the sentence-transformers library: a transformer, then pooling; one vector for each text.

Pooling and all that follows is what the library reads from the checkpoint; nothing of it is repeated here.
The library is imported when a model is loaded, and only then.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedTokenizerFast

from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Plan
from neuron_catalog.models.checkpoint_files import PREPROCESSING_FILES, copy_matching, require_safetensors
from neuron_catalog.models.sources import (
    CheckpointSource,
    EagerModel,
    hub_errors,
    quiet_transformers,
)
from neuron_catalog.models.tiny import TinySource

MODULES_FILE = "modules.json"
"""What a folder of this library begins with: the list of its modules, and where each lies."""

SETTINGS = ("config_sentence_transformers.json", "sentence_bert_config.json")
"""Prompts, similarity function and longest text: what a runtime may want to know."""

LIGHT_FILES = ("*.json", "*.txt")
WEIGHT_FILES = ("*.safetensors",)
PICKLED_FILES = ("*.bin",)


@dataclass(frozen=True, kw_only=True)
class SentenceCheckpointSource(CheckpointSource):
    """A folder written by `SentenceTransformer.save_pretrained`, or such a repository of the hub."""

    @property
    def transformer_place(self) -> str:
        """The folder of the first module.

        Raises:
            RequestError: if it is no transformer, or the folder is not of this library.
        """
        root = self.fetched(LIGHT_FILES)
        first = self._modules(root)[0]
        place = root / str(first.get("path", ""))
        if not (place / "config.json").is_file():
            kind = str(first.get("type", "?")).rsplit(".", 1)[-1]
            raise RequestError(
                f"{self.model} begins with a {kind}, which is no transformer with a config.json.",
                "Only sentence models on top of a transformer can be exported.",
            )
        return str(place)

    def load(self, plan: Plan) -> EagerModel:
        """Load with the library itself.

        Raises:
            RequestError: if the weights are pickled, or the model leaves its prompt out of the pooling.
        """
        from sentence_transformers import SentenceTransformer

        patterns = PREPROCESSING_FILES + LIGHT_FILES + WEIGHT_FILES
        root = self.fetched(patterns + PICKLED_FILES if self.allow_pickle else patterns)
        self._require_safetensors_in_each(root)
        arguments = _model_arguments(plan)
        with torch.random.fork_rng(devices=[]), hub_errors(self.model), quiet_transformers():
            torch.manual_seed(self.seed)
            model = SentenceTransformer(
                str(root),
                device="cpu",
                trust_remote_code=self.trust_remote_code,
                local_files_only=True,
                model_kwargs=arguments,
            )
            missing = self._missing_weights(model, arguments)
        _require_whole_pooling(model, self.model)
        revision = None if Path(self.model).is_dir() else root.name  # a snapshot is named by its commit
        return EagerModel(model.eval(), missing, revision)

    def copy_preprocessing(self, folder: Path) -> None:
        copy_matching(Path(self.transformer_place), PREPROCESSING_FILES, folder)
        copy_matching(self.fetched(LIGHT_FILES), SETTINGS, folder)

    def _modules(self, root: Path) -> list[dict[str, Any]]:
        if not (root / MODULES_FILE).is_file():
            raise RequestError(
                f"{self.model} is no model of sentence-transformers: it has no {MODULES_FILE}.",
                "Save it with SentenceTransformer.save_pretrained, or choose another task.",
            )
        try:
            modules = json.loads((root / MODULES_FILE).read_bytes())
        except ValueError:
            modules = None
        if not isinstance(modules, list) or not modules or not all(isinstance(m, dict) for m in modules):
            raise RequestError(
                f"The {MODULES_FILE} of {self.model} is no list of modules.", "Save or download it again."
            )
        return modules

    def _require_safetensors_in_each(self, root: Path) -> None:
        first, *others = [root / str(module.get("path", "")) for module in self._modules(root)]
        for folder in (first, *(other for other in others if any(other.glob("*.bin")))):
            require_safetensors(folder, self.allow_pickle)

    def _missing_weights(self, model: Any, arguments: dict[str, Any]) -> tuple[str, ...]:
        """Return what the transformer's checkpoint lacks.

        The library does not say, so the transformer's weights are read once more.
        """
        transformer = model.transformers_model
        prefix = next(name for name, module in model.named_modules() if module is transformer)
        _, loading = type(transformer).from_pretrained(
            self.transformer_place, config=transformer.config, output_loading_info=True, **arguments
        )
        return tuple(sorted(f"{prefix}.{name}" for name in loading["missing_keys"]))


@dataclass(frozen=True)
class SentenceTinySource(TinySource):
    """A tiny transformer with mean pooling and normalisation, where it does not pool by itself."""

    def _build(self, plan: Plan) -> Any:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

        transformer = super()._build(plan)
        with tempfile.TemporaryDirectory(prefix="neuron-catalog-") as folder:
            transformer.save_pretrained(folder)
            _write_processor(transformer.config, plan, folder)
            first = Transformer(folder, model_kwargs=_model_arguments(plan))
        modules: list[nn.Module] = [first]
        if first.module_output_name == "token_embeddings":
            modules += [Pooling(first.get_embedding_dimension()), Normalize()]
        return SentenceTransformer(modules=modules, device="cpu")


def _model_arguments(plan: Plan) -> dict[str, Any]:
    chosen = plan.attn_implementation
    return {"dtype": torch.float32} | ({"attn_implementation": chosen} if chosen else {})


def _require_whole_pooling(model: Any, name: str) -> None:
    """A graph sees tokens, not where the prompt among them ends."""
    blind = any(getattr(module, "include_prompt", True) is False for module in model)
    if blind and any(model.prompts.values()):
        raise RequestError(
            f"{name} leaves the tokens of its prompt out of the pooling; a graph cannot tell them apart.",
            "Export the transformer alone with --task feature-extraction, and pool after it.",
        )


def _write_processor(config: PretrainedConfig, plan: Plan, folder: str) -> None:
    """Write what the library cannot do without: a tokenizer of made-up words, and the size of images."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    size = config.get_text_config().vocab_size
    words = WordLevel({f"word{number}": number for number in range(size)}, unk_token="word0")
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(words), unk_token="word0", pad_token="word0"
    ).save_pretrained(folder)
    if "height" in plan.axes:
        size = {side: plan.axes[side] for side in ("height", "width")}
        settings = json.dumps({"size": size, "crop_size": size})
        (Path(folder) / "preprocessor_config.json").write_text(settings, encoding="utf-8")
