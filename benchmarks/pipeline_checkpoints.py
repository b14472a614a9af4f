"""Write checkpoints of pipelines for benchmarks: those of the catalog's tiny ones, with larger parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.models.assembly import INDEX_NAME, read_index
from neuron_catalog.models.components import TinyComponentSource
from neuron_catalog.models.pipeline_sources import TinyPipelineSource, source_of
from neuron_catalog.models.tiny import plain

STEPS = 8
VAE = {"block_out_channels": [32, 64, 64, 64], "norm_num_groups": 16}
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "net.2"]
"""Layers of a U-Net that an adapter changes, by the ends of their names."""


@dataclass(frozen=True)
class Enlarged:
    """A pipeline of the catalog with larger parts."""

    pipeline: str
    sizes: Mapping[str, int]
    """What it is to be exported for."""
    configs: Mapping[str, Mapping[str, Any]]
    """Folder → what its config has in place of the tiny one's."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of a call."""
    runs: int = 31
    """How many images a benchmark of time has made."""

    def write(self, folder: Path, variant: str | None = None) -> Path:
        """Write the checkpoint; with the variant fp16 its files hold half precision."""
        catalog = load_catalog()
        pipeline = catalog.pipelines[self.pipeline]
        folder.mkdir()
        TinyPipelineSource(pipeline=pipeline, seed=0).write_rest(folder)
        index = read_index(folder)
        for name, part in pipeline.parts.items():
            place, component = source_of(name, part), catalog.components[part.component]
            if part.when is not None or place in index:
                continue
            config = plain(pipeline.tiny.configs.get(place) or component.tiny.config)
            source = TinyComponentSource.of(component, 0, {**config, **self.configs.get(place, {})})
            module = source.module()
            module = module.half() if variant else module
            module.save_pretrained(folder / place, variant=variant)
            index[place] = [component.library, component.model_class]
        (folder / INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")
        return folder


STABLE_DIFFUSION = Enlarged(
    "stable-diffusion",
    {"height": 128, "width": 128},
    {
        "unet": {"block_out_channels": [64, 128, 256], "norm_num_groups": 32, "attention_head_dim": 8},
        "vae": VAE,
    },
    {"negative_prompt": "blurred", "guidance_scale": 7.5, "num_inference_steps": STEPS},
)

FAST = {
    "stable-diffusion": STABLE_DIFFUSION,
    "stable-diffusion of 256 pixels": replace(STABLE_DIFFUSION, sizes={"height": 256, "width": 256}, runs=9),
    "stable-diffusion-xl": Enlarged(
        "stable-diffusion-xl",
        {"height": 128, "width": 128},
        {
            "unet": {
                "block_out_channels": [64, 128, 256],
                "norm_num_groups": 32,
                "attention_head_dim": [2, 4, 8],
                "transformer_layers_per_block": [1, 2, 4],
            },
            "vae": VAE,
        },
        {"negative_prompt": "blurred", "guidance_scale": 5.0, "num_inference_steps": STEPS},
    ),
    "flux": Enlarged(
        "flux",
        {"height": 128, "width": 128, "sequence_length": 128},
        {
            "transformer": {
                "num_layers": 3,
                "num_single_layers": 6,
                "attention_head_dim": 64,
                "num_attention_heads": 6,
                "axes_dims_rope": [16, 24, 24],
            },
            "vae": VAE,
        },
        {"guidance_scale": 3.5, "num_inference_steps": STEPS},
    ),
}
"""Pipelines in which computing takes most of the time, and half a second or a few make an image."""

HEAVY = Enlarged(
    "stable-diffusion",
    {"height": 64, "width": 64},
    {
        "text_encoder": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 5,
            "num_attention_heads": 12,
        },
        "unet": {
            "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
            "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
            "block_out_channels": [128, 256, 512, 512],
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            "norm_num_groups": 32,
        },
        "vae": VAE,
    },
)
"""Stable Diffusion 1.5 with 0.4 of its channels: a U-Net of about 570 MB, a text encoder of 140 MB."""


def write_adapter(checkpoint: Path, folder: Path, rank: int = 16) -> Path:
    """Write a LoRA adapter with random matrices for the U-Net of a checkpoint."""
    with torch.device("meta"):
        module = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(checkpoint / "unet"))
        module.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS))
    shapes = get_peft_model_state_dict(module)
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: torch.randn(each.shape, generator=generator) / rank / each.shape[1]
        for name, each in shapes.items()
    }
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return folder


if __name__ == "__main__":  # in a child, so that what it needs is not the parent's
    target, *wanted = sys.argv[1:]
    HEAVY.write(Path(target), wanted[0] if wanted else None)
