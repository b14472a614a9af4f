"""Tiny exported pipelines beside the eager ones that they were made from, and questions to both."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

import neuron_catalog
from neuron_catalog.composition import Composition
from neuron_catalog.exporting.pipeline import export_resolved_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest, resolve_pipeline
from neuron_catalog.models.assembly import assembled
from neuron_catalog.proving.images import Eager

STEP = 1 / 255
"""One step of those that a screen shows."""

COPY = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
"""NumPy 2 about tensors of torch, of which schedulers of diffusers make arrays."""

PROMPTS = ["a cat on a mat", "two dogs in the snow"]
AGAINST = "blurred"


@dataclass(frozen=True)
class Twins:
    """An exported pipeline, and the modules that it was made from."""

    folder: Path
    resolved: Any
    modules: dict[str, Any]

    @classmethod
    def of(cls, catalog, folder, **request):
        """Export the tiny version of a pipeline, and keep its modules."""
        resolved = resolve_pipeline(PipelineRequest(out=folder, **request), catalog)
        export_resolved_pipeline(resolved)
        parts = {name: each.part for name, each in resolved.parts.items()}
        sources = {name: each.source for name, each in resolved.parts.items()}
        return cls(folder, resolved, Eager.of(parts, sources).modules)

    @property
    def composition(self):
        """What the artifact says of itself."""
        return Composition.read(self.folder)

    def kind(self, use="text-to-image"):
        """Return our class for a use."""
        return getattr(neuron_catalog, self.composition.uses[use])

    def ours(self, use="text-to-image", **given):
        """Load the artifact."""
        return quiet(self.kind(use).from_pretrained(self.folder, **given))

    def theirs(self, use="text-to-image", **given):
        """Put the eager pipeline together."""
        name = self.composition.uses[use].removeprefix("Neuron")
        return quiet(assembled(getattr(diffusers, name), self.folder, self.modules, given))

    def asked(self, use="text-to-image", **change):
        """Return the arguments of a call that the eager pipeline understands too."""
        name = self.composition.uses[use].removeprefix("Neuron")
        taken = inspect.signature(getattr(diffusers, name).__call__).parameters
        axes = self.composition.axes
        prompts = PROMPTS[: axes["batch_size"]]
        every = {
            "prompt": prompts,
            "negative_prompt": [AGAINST] * len(prompts),
            "num_inference_steps": 4,
            "height": axes["height"],
            "width": axes["width"],
            "num_images_per_prompt": axes["num_images_per_prompt"],
            "max_sequence_length": axes.get("sequence_length"),
            "use_resolution_binning": False,
            "clean_caption": False,
            "image": picture(axes["height"], axes["width"]),
            "mask_image": half(axes["height"], axes["width"]),
        }
        if use == "image-to-image":
            every["image"] = [picture(axes["height"], axes["width"], seed) for seed in range(len(prompts))]
        return {key: value for key, value in every.items() if key in taken} | change


def quiet(pipeline):
    """Switch its progress bar off."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def images(pipeline, seed=3, **asked):
    """Return what a pipeline makes of seeded noise, as [images, height, width, colours]."""
    asked = {"generator": torch.Generator().manual_seed(seed), "output_type": "np"} | asked
    return np.asarray(pipeline(**asked).images)


def agree(ours, theirs):
    """Both are the same to a step of the screen, and show something."""
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.02
    assert np.abs(ours - theirs).max() <= STEP


def picture(height, width, seed=0):
    """Return an image with areas of several colours."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 3, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def half(height, width):
    """Return a mask of the right half."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[:, width // 2 :] = 255
    return Image.fromarray(mask)


def shown(value):
    """Return the name of a test for a value: the same in each process, which addresses of images are not."""
    if not isinstance(value, dict):
        return str(value)
    plain = (str, int, float, type(None))
    return ", ".join(f"{key}={each}" if isinstance(each, plain) else key for key, each in value.items())
