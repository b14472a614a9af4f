"""Models that write texts with transformers' `generate`: greedy, sampling, beams, processors, streamers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from neuron_catalog.errors import RequestError, nearest
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.runtime.arguments import OPTIONS
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.runtime.model import NeuronModel
from neuron_catalog.runtime.texts import (
    Demand,
    TextInProgress,
    capacity,
    only_tensors,
    require_one_cache,
    require_room,
)
from neuron_catalog.schema.words import CACHE_AXES

NOT_OF_CONFIG = {
    "assistant_model",
    "custom_generate",
    "logits_processor",
    "negative_prompt_attention_mask",
    "negative_prompt_ids",
    "prefix_allowed_tokens_fn",
    "stopping_criteria",
    "streamer",
    "synced_gpus",
}
"""Arguments of `generate` that are no values of a generation config."""

OWN = {"attention_mask", "decoder_input_ids", "encoder_outputs", "input_ids", "past_key_values", "use_cache"}
"""What may be given to `generate` besides the inputs of the graph."""


class GeneratingModel(NeuronModel, GenerationMixin):  # type: ignore[misc]
    """A model that continues texts. One exported without a cache reads the whole text for each token."""

    _is_stateful = True
    """So that transformers does not offer ways to generate that take tokens back."""

    def __init__(self, folder: Path, compiled: CompiledModel, config: PretrainedConfig) -> None:
        super().__init__(folder, compiled, config)
        self.generation_config = _generation_config(folder, config)

    @property
    def has_cache(self) -> bool:
        """Whether it keeps what it has read from token to token."""
        return self.manifest.plan.wrapper in CACHE_AXES

    def can_generate(self) -> bool:
        """It has a `generate` method."""
        return True

    @torch.no_grad()
    def generate(
        self, inputs: Tensor | None = None, generation_config: GenerationConfig | None = None, **more: Any
    ) -> Any:
        """Continue texts as `generate` of transformers does, with all of its arguments.

        Values passed win over those of `generation_config.json` in the artifact, which win over defaults.

        Raises:
            RequestError: before anything is computed, if there is no room for the texts, or a way to generate
                is asked for that needs another cache.
        """
        self._require_possible(inputs, generation_config, more)
        return super().generate(inputs, generation_config, **more)

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        past_key_values: TextInProgress | None = None,
        **more: Any,
    ) -> Any:
        """Do the same as a call; with `past_key_values` of `generate`, read the next token only."""
        given = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "decoder_input_ids": decoder_input_ids,
            **more,
        }
        return self(past_key_values=past_key_values, **{k: v for k, v in given.items() if v is not None})

    def __call__(  # type: ignore[override]
        self, *args: Tensor, past_key_values: TextInProgress | None = None, **inputs: Any
    ) -> Any:
        if past_key_values is None:
            return super().__call__(*args, **inputs)
        text = past_key_values
        if self.config.is_encoder_decoder:
            scores = text.read(inputs["decoder_input_ids"])
        elif text.get_seq_length():
            scores = text.read(inputs["input_ids"])
        else:
            expand = text.demand.expand
            first = text.begin({name: value[::expand] for name, value in only_tensors(inputs).items()})
            scores = first.repeat_interleave(expand, 0)
        answer = self._answers({"logits": scores})
        answer["past_key_values"] = text
        return answer

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: TextInProgress | None = None,
        attention_mask: Tensor | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Return what the next call takes; transformers asks for it before each."""
        if self.config.is_encoder_decoder:
            return self._prepared_answer(input_ids, past_key_values, attention_mask, more)
        read = past_key_values.get_seq_length() if past_key_values else 0
        if read:
            return {"input_ids": input_ids[:, read:], "past_key_values": past_key_values}
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        named = {"input_ids": input_ids, "attention_mask": mask, "past_key_values": past_key_values}
        return {**named, **self._inputs_in(more)}

    def get_encoder(self, modality: str | None = None) -> Any:
        """The graphs hold the encoder; nothing of it can be called by itself."""
        del modality
        raise RequestError("An exported model has no encoder of its own.", "Call the model, or generate.")

    def is_remote_code(self) -> bool:
        """No code of a repository is run."""
        return False

    def _prepared_answer(
        self,
        answer: Tensor,
        text: TextInProgress | None,
        attention_mask: Tensor | None,
        more: dict[str, Any],
    ) -> dict[str, Any]:
        if text is not None:
            return {"decoder_input_ids": answer[:, text.get_seq_length() :], "past_key_values": text}
        given = {
            "attention_mask": attention_mask,
            "decoder_attention_mask": torch.ones_like(answer),
            **more.get("encoder_outputs", {}),
            **more,
        }
        return {"decoder_input_ids": answer, **self._inputs_in(given)}

    def _inputs_in(self, given: dict[str, Any]) -> dict[str, Any]:
        """Pick the inputs of the graph."""
        names = {tensor.name for tensor in self.manifest.plan.inputs}
        names |= {constant.name for constant in self.manifest.plan.constants}
        return {name: value for name, value in given.items() if name in names}

    def _require_possible(
        self, inputs: Tensor | None, generation_config: GenerationConfig | None, more: dict[str, Any]
    ) -> None:
        """Hold a call to what was exported.

        Raises:
            RequestError: if it asks for more, or for what a cache of fixed size cannot do.
        """
        for name in ("assistant_model", "inputs_embeds", "past_key_values", "custom_generate"):
            if more.get(name) is not None:
                raise RequestError(
                    f"{name} cannot be given to an exported model: its graphs take token ids, and a cache of "
                    "a fixed size that is made for each call.",
                    f"Leave {name} out.",
                )
        known = {name: value for name, value in more.items() if name not in NOT_OF_CONFIG}
        config, given = self._prepare_generation_config(generation_config, **known)
        require_one_cache(config)
        for option in OPTIONS:
            if given.get(option):
                raise RequestError(f"The graphs return scores only, no {option}.", f"Leave {option} out.")
        name = self.main_input_name
        first = self.compiled.fitting(name, inputs if inputs is not None else given.get(name))
        prompt = self._prompt_length(first, given)
        demand = Demand(len(first), texts_of(config), self._text_length(config, prompt))
        require_room(self.manifest, demand, prompt)

    def _prompt_length(self, first: Tensor, given: dict[str, Any]) -> int:
        """Return how many tokens come first: of an answer one at least, and an image is not counted."""
        if self.config.is_encoder_decoder:
            answer = given.get("decoder_input_ids")
            return 1 if answer is None else answer.shape[1]
        text: Tensor = given.get("input_ids", first)
        return text.shape[1]

    def _text_length(self, config: GenerationConfig, prompt: int) -> int:
        """Return how long a text may become; without a limit of the caller, what there is room for."""
        if config.max_new_tokens is not None:
            return prompt + int(config.max_new_tokens)
        if config._is_limited:
            return int(config.max_length)
        return max(prompt + 1, min(prompt + int(config.max_length), capacity(self.manifest)))

    # What transformers asks of a model while it generates.

    @contextmanager
    def _optimize_model_for_decode(self) -> Iterator[None]:
        """A compiled graph is what it is."""
        yield

    def _prepare_generation_config(
        self, generation_config: GenerationConfig | None, **more: Any
    ) -> tuple[GenerationConfig, dict[str, Any]]:
        """Note whether the length is the caller's; what follows knows it with transformers' default only."""
        limits = [getattr(each, "max_length", None) for each in (generation_config, self.generation_config)]
        prepared, given = super()._prepare_generation_config(generation_config, **more)
        prepared._is_limited = any(limit is not None for limit in (*limits, more.get("max_length")))
        return prepared, given

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        """Find misspelt arguments.

        Raises:
            RequestError: naming one that is neither of the graph nor of a generation config.
        """
        known = OWN | self._inputs_in(model_kwargs).keys()
        for name, value in model_kwargs.items():
            if value is not None and name not in known:
                hint = nearest(name, (known | GenerationConfig().to_dict().keys()) - {*OPTIONS})
                raise RequestError(f"generate knows no argument {name!r}; {hint}", f"Leave {name} out.")

    def _prepare_generated_length(
        self, generation_config: GenerationConfig, **facts: Any
    ) -> GenerationConfig:
        """Let a text that has no limit of its own end where the cache does."""
        prepared: GenerationConfig = super()._prepare_generated_length(
            generation_config=generation_config, **facts
        )
        prepared.max_length = min(prepared.max_length, capacity(self.manifest))
        return prepared

    def _maybe_prepare_encoder_kwargs_for_generation(
        self,
        inputs_tensor: Tensor,
        model_kwargs: dict[str, Any],
        model_input_name: str | None,
        generation_config: GenerationConfig,
    ) -> dict[str, Any]:
        """Read the input of an encoder; without a cache it is read again for each token."""
        if not self.config.is_encoder_decoder:
            return model_kwargs
        name = model_input_name or self.main_input_name
        if name == "input_ids" and model_kwargs.get("attention_mask") is None:
            model_kwargs = {**model_kwargs, "attention_mask": torch.ones_like(inputs_tensor)}
        if not self.has_cache:
            return {**model_kwargs, "encoder_outputs": ModelOutput({name: inputs_tensor})}
        length = self._text_length(generation_config, self._prompt_length(inputs_tensor, model_kwargs))
        demand = Demand(len(inputs_tensor), texts_of(generation_config), length)
        text = TextInProgress(self.compiled, demand)
        hidden = text.begin({name: inputs_tensor, **only_tensors(self._inputs_in(model_kwargs))})
        encoded = BaseModelOutput(last_hidden_state=hidden)
        return {**model_kwargs, "encoder_outputs": encoded, "past_key_values": text}

    _prepare_encoder_decoder_kwargs_for_generation = _maybe_prepare_encoder_kwargs_for_generation
    """What transformers before 5.23 calls it."""

    def _prepare_cache_for_generation(
        self,
        generation_config: GenerationConfig,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        del generation_mode, max_cache_length
        model_kwargs["use_cache"] = generation_config.use_cache = self.has_cache
        if self.has_cache and not self.config.is_encoder_decoder:
            demand = Demand(batch_size, texts_of(generation_config), generation_config.max_length)
            model_kwargs["past_key_values"] = TextInProgress(self.compiled, demand)


def texts_of(config: GenerationConfig) -> int:
    """Return how many texts go on from each prompt."""
    return max(config.num_beams or 1, config.num_return_sequences or 1)


def _generation_config(folder: Path, config: PretrainedConfig) -> GenerationConfig:
    """Read generation_config.json, or make one of what the model's config says."""
    with quiet_transformers():
        if (folder / "generation_config.json").is_file():
            return GenerationConfig.from_pretrained(folder)
        return GenerationConfig.from_model_config(config)
