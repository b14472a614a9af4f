"""What a caller asks of an exported pipeline, held to its export before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from neuron_catalog.composition import Composition
from neuron_catalog.errors import RequestError
from neuron_catalog.manifest import Plan

FIXED = {
    "height": "height",
    "width": "width",
    "num_images_per_prompt": "num_images_per_prompt",
    "max_sequence_length": "sequence_length",
}
"""Argument of a pipeline → the axis that fixes it."""

NEUTRAL = {"use_resolution_binning": False}
"""Argument → what it must be unless the caller says otherwise: sizes are fixed, so none is to be rounded."""

ADAPTING = ("ip_adapter_image", "ip_adapter_image_embeds")


@dataclass(frozen=True)
class Exported:
    """What an artifact was exported for."""

    composition: Composition
    plans: Mapping[str, Plan]
    """Part → its plan."""

    def completed(
        self, pipeline: Any, signature: inspect.Signature, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the arguments of a call, with those that are fixed by the export.

        Raises:
            RequestError: naming the first argument that does not fit the export.
        """
        given = dict(signature.bind_partial(*args, **kwargs).arguments)
        given |= given.pop("kwargs", {})
        for name, axis in FIXED.items():
            if name in signature.parameters and axis in self.composition.axes:
                given[name] = self._fixed(name, axis, given.get(name))
        for name, value in NEUTRAL.items():
            if name in signature.parameters:
                given.setdefault(name, value)
        self._require_prompts(given)
        self._require_images(given, signature)
        self._require_room(given, signature)
        for name in ADAPTING:
            if given.get(name) is not None:
                raise RequestError("IP-Adapters are not exported.", f"Leave {name} out.")
        self._require_hidden_states(given)
        self._require_short_prompts(pipeline, given)
        return given

    def _fixed(self, name: str, axis: str, value: Any) -> int:
        size = self.composition.axes[axis]
        if value not in (None, size):
            raise RequestError(
                f"{name} is {value}; the pipeline was exported for {size}.",
                f"Leave {name} out, or export with --{axis} {value}.",
            )
        return size

    def _require_prompts(self, given: Mapping[str, Any]) -> None:
        """Each prompt goes through graphs that were compiled for a number of them."""
        size = self.composition.axes["batch_size"]
        for name in ("prompt", "negative_prompt", "prompt_embeds", "negative_prompt_embeds"):
            value = given.get(name)
            if value is None or (name == "negative_prompt" and isinstance(value, str)):
                continue
            count = 1 if isinstance(value, str) else len(value)
            if count != size:
                what = "1 prompt" if size == 1 else f"{size} prompts"
                raise RequestError(
                    f"{name} has {count}; the pipeline was exported for {what} at a time.",
                    f"Give {what}, or export with --batch_size {count}.",
                )

    def _require_images(self, given: Mapping[str, Any], signature: inspect.Signature) -> None:
        """A pipeline without height and width takes them from the image."""
        if "height" in signature.parameters:
            return
        wanted = self.composition.axes["height"], self.composition.axes["width"]
        for image in _images(given.get("image")):
            if (size := _size(image)) not in (None, wanted):
                raise RequestError(
                    f"The image has {size[0]} x {size[1]} pixels; the pipeline was exported for "
                    f"{wanted[0]} x {wanted[1]} (height x width).",
                    "Resize it.",
                )

    def _require_room(self, given: Mapping[str, Any], signature: inspect.Signature) -> None:
        """Guidance doubles the rows of the denoiser."""
        if self.composition.axes.get("guidance_copies") != 1 or "guidance_scale" not in signature.parameters:
            return
        scale = given.get("guidance_scale", signature.parameters["guidance_scale"].default)
        if scale > 1:
            raise RequestError(
                f"guidance_scale is {scale}; the pipeline was exported without room for guidance.",
                "Give guidance_scale=1.0, or export with --guidance_copies 2.",
            )

    def _require_hidden_states(self, given: Mapping[str, Any]) -> None:
        encoders = [plan for name, plan in self.plans.items() if name.startswith("text_encoder")]
        if given.get("clip_skip") and not any("output_hidden_states" in plan.options for plan in encoders):
            raise RequestError(
                "clip_skip takes an inner state of the text encoder, which is not exported.",
                "Leave clip_skip out.",
            )

    def _require_short_prompts(self, pipeline: Any, given: Mapping[str, Any]) -> None:
        """No text encoder may lose a part of a prompt, unless another one reads it to its end."""
        for name in ("prompt", "negative_prompt"):
            for prompt in _texts(given.get(name)):
                lengths = list(self._lengths(pipeline, prompt))
                if lengths and all(length > limit for length, limit in lengths):
                    length, limit = max(lengths, key=lambda each: each[1])
                    raise RequestError(
                        f"{name} has {length} tokens; the pipeline reads at most {limit}: {prompt[:40]!r}…",
                        "Shorten it.",
                    )

    def _lengths(self, pipeline: Any, prompt: str) -> Iterator[tuple[int, int]]:
        """Yield how many tokens each tokenizer makes of a prompt, and how many its encoder takes."""
        for name, plan in self.plans.items():
            if name.startswith("text_encoder"):
                tokenizer = getattr(pipeline, name.replace("text_encoder", "tokenizer"), None)
                if tokenizer is not None:
                    length = len(tokenizer(prompt, truncation=False, verbose=False).input_ids)
                    yield length, plan.axes["sequence_length"]


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _images(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _size(image: Any) -> tuple[int, int] | None:
    """Return height and width in pixels; None if it has none to tell."""
    if isinstance(image, Image):
        return image.height, image.width
    if isinstance(image, Tensor) and image.dim() >= 3:
        return image.shape[-2], image.shape[-1]
    if isinstance(image, np.ndarray) and image.ndim >= 3:  # colours last, as an image of PIL becomes
        return image.shape[-3], image.shape[-2]
    return None
