"""Do an exported pipeline and the eager one make the same images?

Both get the same prompts, the same scheduler and the same noise. A difference of one step of 256 is allowed,
and the images must tell something: one colour everywhere would look alike whatever made it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from neuron_catalog.composition import Composition
from neuron_catalog.manifest import Check, Difference, Status
from neuron_catalog.models.assembly import assembled
from neuron_catalog.models.components import PartSource, class_of
from neuron_catalog.models.pipeline_sources import source_of
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.schema.components import Part, Use

ALLOWED = 1 / 255
"""Largest difference of a colour, which is from 0 to 1: one step of those that a screen shows."""

STEPS = 4
"""How often noise is taken out."""

SPREAD = 0.02
"""Standard deviation over the pixels of an image, in its liveliest colour, that each must have at least."""

WORDS = ("a cat on a mat", "two dogs in the snow", "an old house", "a green bottle")
AGAINST = "blurred, low quality"

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Eager:
    """The modules of a pipeline as diffusers has them, all in memory."""

    parts: Mapping[str, Any]
    """Part → its module; those that are read from one folder share it."""
    modules: Mapping[str, Any]
    """What a pipeline calls a module → the module, or a list if it has several of a kind."""

    @classmethod
    def of(cls, parts: Mapping[str, Part], sources: Mapping[str, PartSource]) -> Eager:
        """Load each module once."""
        loaded: dict[str, Any] = {}
        grouped: dict[str, list[Any]] = {}
        for name, part in parts.items():
            group = grouped.setdefault(source_of(name, part), [])
            if part.several or not group:
                group.append(sources[name].module())
            loaded[name] = group[-1]
        return cls(
            loaded, {place: group[0] if len(group) == 1 else group for place, group in grouped.items()}
        )


def check_images(folder: Path, use: str, told: Use, eager: Eager, seed: int) -> Check:
    """Make images with an artifact and with its eager parts, and compare them."""
    compiled, reference = images_of(folder, use, told, eager, seed)
    largest = float(np.abs(compiled - reference).max())
    what = f"{len(reference)} images of {reference.shape[1]} x {reference.shape[2]} pixels in {STEPS} steps"
    detail = f"{what}: largest difference {largest:.1e}, allowed {ALLOWED:.1e}"
    passed = largest <= ALLOWED
    if not np.isfinite(compiled).all():
        passed, detail = False, f"{what} have NaN or infinity"
    elif flattest(reference) < SPREAD:
        passed, detail = False, f"{what} have one colour: they prove nothing"
    difference = Difference(output="image", seed=seed, largest=largest, allowed=ALLOWED)
    status: Status = "passed" if passed else "failed"
    return Check(name="image", status=status, detail=detail, differences=(difference,))


def flattest(images: Images) -> float:
    """Return how much the colours of that image vary that varies least."""
    return float(images.std(axis=(1, 2)).max(axis=-1).min())


def images_of(folder: Path, use: str, told: Use, eager: Eager, seed: int) -> tuple[Images, Images]:
    """Return what the artifact makes, and what its eager parts make: [images, height, width, colours]."""
    class_of("diffusers", told.pipeline_class, use)
    with quiet_transformers():
        from neuron_catalog.runtime.diffusion import classes

        pipeline = getattr(classes, told.runtime_class).from_pretrained(folder)
        built = class_of("diffusers", told.pipeline_class, use)
        reference = assembled(built, folder, eager.modules, {})
        asked = _asked(pipeline.composition, inspect.signature(reference.__call__), use, seed)
        complete = pipeline.completed(**asked)
        found = []
        for each, arguments in ((pipeline, asked), (reference, complete)):
            each.set_progress_bar_config(disable=True)
            generator = torch.Generator().manual_seed(seed)
            found.append(np.asarray(each(**arguments, generator=generator, output_type="np").images))
    return found[0], found[1]


def _asked(composition: Composition, signature: inspect.Signature, use: str, seed: int) -> dict[str, Any]:
    """Return the arguments of a call that goes through everything a use has."""
    taken, axes = signature.parameters, composition.axes
    prompts = [WORDS[number % len(WORDS)] for number in range(axes["batch_size"])]
    asked: dict[str, Any] = {"prompt": prompts, "num_inference_steps": STEPS}
    if "negative_prompt" in taken:
        asked["negative_prompt"] = [AGAINST] * len(prompts)
    if "strength" in taken:  # the first steps are left out: an image is not all noise
        asked |= {"strength": STEPS / (STEPS + 1), "num_inference_steps": STEPS + 1}
    if "image" in taken:
        picture = _picture(axes["height"], axes["width"], seed)
        asked["image"] = [picture] * len(prompts) if use == "image-to-image" else picture
    if "mask_image" in taken:
        asked["mask_image"] = _half(axes["height"], axes["width"])
    if "clean_caption" in taken:
        asked["clean_caption"] = False  # it needs more packages, and changes nothing about the graphs
    return asked


def _picture(height: int, width: int, seed: int) -> Image.Image:
    """Return an image with areas of several colours, as photographs have."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _half(height: int, width: int) -> Image.Image:
    """Return a mask of the right half."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[:, width // 2 :] = 255
    return Image.fromarray(mask)
