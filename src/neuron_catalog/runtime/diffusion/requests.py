"""What a caller asks of an exported pipeline, held to its export before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL.Image import Image
from torch import Tensor

from neuron_catalog.composition import Composition
from neuron_catalog.errors import RequestError, UsageError, nearest
from neuron_catalog.manifest import InputTensor, Plan
from neuron_catalog.runtime.diffusion.calls import is_silent

FIXED = {
    "height": "height",
    "width": "width",
    "num_images_per_prompt": "num_images_per_prompt",
    "max_sequence_length": "sequence_length",
}
"""Argument of a pipeline → the axis that fixes it."""

NEUTRAL = {"use_resolution_binning": False}
"""Argument → the only value that it may have: sizes are fixed, so none is to be rounded."""

LEGACY = ("callback", "callback_steps")
"""Arguments that pipelines of diffusers still take, though their signatures have them no more."""

DENOISERS = ("unet", "transformer")

COUNTED = (
    "prompt",
    "prompt_2",
    "prompt_3",
    "negative_prompt",
    "negative_prompt_2",
    "negative_prompt_3",
    "prompt_embeds",
    "negative_prompt_embeds",
)
"""Arguments with one row for each prompt. A negative one may be a single text for all."""

MISSING = {
    "ip_adapter_image": "IP-Adapters are not exported",
    "ip_adapter_image_embeds": "IP-Adapters are not exported",
    "negative_ip_adapter_image": "IP-Adapters are not exported",
    "negative_ip_adapter_image_embeds": "IP-Adapters are not exported",
    "cross_attention_kwargs": "Attention has no further arguments in a compiled graph",
    "joint_attention_kwargs": "Attention has no further arguments in a compiled graph",
    "skip_guidance_layers": "A compiled graph cannot leave out layers",
}
"""Argument → why it cannot be given."""


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
        given = dict(signature.bind_partial(*args, **_known(signature, kwargs)).arguments)
        given |= given.pop("kwargs", {})
        for name, axis in FIXED.items():
            if name in signature.parameters and axis in self.composition.axes:
                given[name] = self._fixed(name, axis, given.get(name))
        for name, value in NEUTRAL.items():
            if name in signature.parameters and given.setdefault(name, value) != value:
                raise RequestError(f"{name} can only be {value}: sizes are fixed at export.", "Leave it out.")
        for name, why in MISSING.items():
            if not is_silent(given.get(name)):
                raise RequestError(f"{why}.", f"Leave {name} out.")
        self._require_prompts(given)
        self._require_images(given, signature)
        self._require_latents(given)
        self._require_room(given, signature)
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
        for name in COUNTED:
            value = given.get(name)
            if value is None or (name.startswith("negative") and isinstance(value, str)):
                continue
            count = 1 if isinstance(value, str) else len(value)
            if count != size:
                what = "1 prompt" if size == 1 else f"{size} prompts"
                raise RequestError(
                    f"{name} has {count}; the pipeline was exported for {what} at a time.",
                    f"Give {what}, or export with --batch_size {count}.",
                )

    def _require_images(self, given: Mapping[str, Any], signature: inspect.Signature) -> None:
        """A pipeline without height and width takes them from the image; it may be one of latents."""
        if "height" in signature.parameters:
            return
        wanted = self.composition.axes["height"], self.composition.axes["width"]
        for image in _images(given.get("image")):
            if (size := _size(image)) not in (None, wanted) and not self._are_latents(image):
                raise RequestError(
                    f"The image has {size[0]} x {size[1]} pixels; the pipeline was exported for "
                    f"{wanted[0]} x {wanted[1]} (height x width).",
                    "Resize it.",
                )

    def _are_latents(self, image: Any) -> bool:
        return isinstance(image, Tensor) and image.shape[-3:] == self._noisy.shape[1:]

    def _require_latents(self, given: Mapping[str, Any]) -> None:
        """Noise must have the sizes of the denoiser, whatever its channels: some take a mask with it."""
        axes, latents = self.composition.axes, given.get("latents")
        if latents is None:
            return
        wanted = (axes["batch_size"] * axes["num_images_per_prompt"], *self._noisy.shape[-2:])
        if (found := (latents.shape[0], *latents.shape[-2:])) != wanted:
            raise RequestError(
                f"latents has {found[0]} x … x {found[1]} x {found[2]}; the pipeline was exported for "
                f"{wanted[0]} x … x {wanted[1]} x {wanted[2]}.",
                "Leave latents out, or draw them of this size.",
            )

    @property
    def _noisy(self) -> InputTensor:
        """What the denoiser takes noise out of."""
        plan = next(plan for name, plan in self.plans.items() if name in DENOISERS)
        return plan.inputs[0]

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
        if given.get("clip_skip") is not None and not any(
            "output_hidden_states" in plan.options for plan in encoders
        ):
            raise RequestError(
                "clip_skip takes an inner state of the text encoder, which is not exported.",
                "Leave clip_skip out.",
            )

    def _require_short_prompts(self, pipeline: Any, given: Mapping[str, Any]) -> None:
        """No text encoder may lose a part of a prompt, unless another one reads it to its end."""
        for start in ("prompt", "negative_prompt"):
            readers = self._readers(pipeline, start, given)
            for name, limits in readers.items():
                for prompt in _texts(given.get(name)):
                    lengths = [(_length(tokenizer, prompt), limit) for tokenizer, limit in limits]
                    if all(length > limit for length, limit in lengths):
                        length, limit = max(lengths, key=lambda each: each[1])
                        raise RequestError(
                            f"{name} has {length} tokens; the pipeline reads at most {limit}: "
                            f"{prompt[:40]!r}…",
                            "Shorten it.",
                        )

    def _readers(
        self, pipeline: Any, start: str, given: Mapping[str, Any]
    ) -> dict[str, list[tuple[Any, int]]]:
        """Return, for each argument, the tokenizers that read it, and how many tokens their encoders take.

        The second and third text encoder read an argument of their own, or if there is none, the first.
        """
        found: dict[str, list[tuple[Any, int]]] = {}
        for name, plan in self.plans.items():
            if name.startswith("text_encoder"):
                end = name.removeprefix("text_encoder")
                tokenizer = getattr(pipeline, f"tokenizer{end}", None)
                argument = f"{start}{end}" if given.get(f"{start}{end}") else start
                if tokenizer is not None:
                    found.setdefault(argument, []).append((tokenizer, plan.axes["sequence_length"]))
        return found


def _known(signature: inspect.Signature, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse what a pipeline does not know: many take anything, and drop it.

    Raises:
        UsageError: naming it.
    """
    known = [name for name in signature.parameters if name not in ("self", "kwargs")]
    for name in named:
        if name not in known and not (name in LEGACY and "kwargs" in signature.parameters):
            raise UsageError(
                f"The pipeline takes no argument {name!r}; {nearest(name, known)}", "Leave it out."
            )
    return named


def _length(tokenizer: Any, prompt: str) -> int:
    return len(tokenizer(prompt, truncation=False, verbose=False).input_ids)


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
