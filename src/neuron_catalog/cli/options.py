"""Options of the commands that build models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PANEL = "Diffusion pipelines"

First = Annotated[
    str | None,
    typer.Argument(
        metavar="ARCHITECTURE", help="A model type of the catalog. With --model it may be left out."
    ),
]
Second = Annotated[Path | None, typer.Argument(metavar="OUT", help="The folder to write.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="ID_OR_DIR", help="A checkpoint. Without it the architecture's tiny random model is taken."
    ),
]
TaskOption = Annotated[
    str | None, typer.Option(metavar="TASK", help="Inferred from the model's config if absent.")
]
Revision = Annotated[
    str | None, typer.Option(metavar="REV", help="Branch, tag or commit of a hub repository.")
]
CacheDir = Annotated[
    str | None, typer.Option("--cache_dir", metavar="DIR", help="Where the hub's downloads are kept.")
]
TrustRemoteCode = Annotated[bool, typer.Option("--trust_remote_code", help="Run model code from the hub.")]
HiddenStates = Annotated[
    bool, typer.Option("--output_hidden_states", help="Add every layer's hidden states.")
]
Attentions = Annotated[bool, typer.Option("--output_attentions", help="Add every layer's attention weights.")]

Unet = Annotated[
    str | None,
    typer.Option(metavar="ID_OR_DIR", help="Another denoiser for the checkpoint.", rich_help_panel=PANEL),
]


def _several(name: str, metavar: str, help: str) -> Any:
    return typer.Option(f"--{name}", metavar=metavar, help=f"{help} Repeatable.", rich_help_panel=PANEL)


Controlnets = Annotated[
    list[str] | None, _several("controlnet_ids", "ID_OR_DIR", "A ControlNet to export with the pipeline.")
]
LoraModels = Annotated[
    list[str] | None, _several("lora_model_ids", "ID_OR_DIR", "A LoRA adapter to merge into the weights.")
]
LoraFiles = Annotated[list[str] | None, _several("lora_weight_names", "FILE", "The file of the adapter.")]
LoraNames = Annotated[list[str] | None, _several("lora_adapter_names", "NAME", "What to call the adapter.")]
LoraScales = Annotated[list[float] | None, _several("lora_scales", "X", "How much the adapter counts.")]
