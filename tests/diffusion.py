"""Checkpoints of small diffusion pipelines in the format of diffusers, and the steps of their export."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from neuron_catalog.catalog.index import Catalog
from neuron_catalog.models.assembly import assembled
from neuron_catalog.models.components import TinyComponentSource, class_of
from neuron_catalog.models.pipeline_sources import TinyPipelineSource, source_of
from neuron_catalog.plan.pipeline import parts_of

UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
"""A denoiser that is traced three times as fast as the tiny one."""
CONTROLNET = {
    **{
        key: value
        for key, value in UNET.items()
        if key not in ("sample_size", "out_channels", "up_block_types")
    },
    "conditioning_embedding_out_channels": [8, 8, 16, 16],
}
"""The one that suits it."""
SIZES = {"height": 16, "width": 32}


def save_pipeline(
    catalog: Catalog, name: str, folder: Path, configs: dict[str, Any] | None = None, seed: int = 0
) -> Path:
    """Write the tiny pipeline, with other configs of some parts, as `save_pretrained` of diffusers does."""
    pipeline = catalog.pipelines[name]
    tiny = pipeline.tiny.model_copy(update={"configs": {**pipeline.tiny.configs, **(configs or {})}})
    source = TinyPipelineSource(pipeline=pipeline.model_copy(update={"tiny": tiny}), seed=seed)
    parts = parts_of(pipeline, frozenset())
    modules = {
        source_of(each, part): source.part(each, part, catalog.components[part.component]).module()
        for each, part in parts.items()
    }
    rest = folder.with_name(f"{folder.name}-rest")
    rest.mkdir(parents=True)
    source.write_rest(rest)
    pipeline_class = class_of("diffusers", next(iter(pipeline.uses.values())).pipeline_class, name)
    assembled(pipeline_class, rest, modules, {}).save_pretrained(folder)
    return folder


def save_component(
    catalog: Catalog, name: str, folder: Path, config: dict[str, Any] | None = None, seed: int = 0
) -> Path:
    """Write a tiny component, with another config if one is given, into a folder of its own."""
    TinyComponentSource.of(catalog.components[name], seed, config).module().save_pretrained(folder)
    return folder


def edit_json(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file; those that are Ellipsis are removed."""
    said = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not ...}))


def save_adapter(
    checkpoint: Path, folder: Path, parts: Mapping[str, Sequence[str]], seed: int = 1, **options: Any
) -> Path:
    """Write a LoRA adapter as diffusers does; `parts` are those it changes, with the layers in each."""
    import diffusers
    import transformers
    from peft import LoraConfig, get_peft_model_state_dict

    index = json.loads((checkpoint / "model_index.json").read_bytes())
    layers = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for part, targets in parts.items():
            library, name = index[part]
            source = {"diffusers": diffusers, "transformers": transformers}[library]
            module = getattr(source, name).from_pretrained(checkpoint / part)
            module.add_adapter(LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False))
            layers[f"{part}_lora_layers"] = get_peft_model_state_dict(module)
    getattr(diffusers, index["_class_name"]).save_lora_weights(folder, **layers, **options)
    return folder


class Steps(list[str]):
    """What an export reports; `until` is the step at which it is interrupted, as by Ctrl-C."""

    def __init__(self, until: str = "") -> None:
        super().__init__()
        self.until = until

    def __call__(self, step: str) -> None:
        self.append(step)
        if self.until and step.startswith(self.until):
            raise KeyboardInterrupt

    @property
    def compiled(self) -> list[str]:
        """The parts that were compiled."""
        return [step.split(":")[0] for step in self if ": Compiling" in step]

    @property
    def kept(self) -> list[str]:
        """The parts that an earlier run has finished."""
        return [step.split(":")[0] for step in self if step.endswith(": kept from an earlier run")]
