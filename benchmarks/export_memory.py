"""Measure the peak memory of an export: `python benchmarks/export_memory.py [NAME ...]`; MODELS lists them.

The models have random weights in float32. A child process exports one for short texts, so that activations
are small beside the weights; another child imports the same and exports nothing. Each reads its own peak:
what the system tells of a child includes the size of its parent when it began.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
import transformers
from side_by_side import spread

from neuron_catalog.models.sources import quiet_transformers

RUNS = 3
TARGET = 1.3

LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}

WIDE = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}


@dataclass(frozen=True)
class Heavy:
    """A model with more weights than activations."""

    model_class: str
    config_class: str
    task: str
    sizes: dict[str, int]
    config: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the checkpoint."""
        torch.manual_seed(0)
        config = getattr(transformers, self.config_class)(**self.config)
        getattr(transformers, self.model_class)(config).save_pretrained(folder)
        return folder


MODELS = {
    "bert": Heavy("BertModel", "BertConfig", "feature-extraction", {"batch_size": 1, "sequence_length": 20}),
    "llama": Heavy(
        "LlamaForCausalLM",
        "LlamaConfig",
        "text-generation",
        {"batch_size": 1, "prompt_length": 20, "sequence_length": 40},
        LLAMA,
    ),
    "t5": Heavy(
        "T5ForConditionalGeneration",
        "T5Config",
        "text2text-generation",
        {"batch_size": 1, "sequence_length": 20, "decoder_sequence_length": 20},
        {"d_model": 1024, "d_ff": 4096, "num_layers": 4, "num_heads": 16, "decoder_start_token_id": 0},
    ),
    "vit": Heavy("ViTForImageClassification", "ViTConfig", "image-classification", {"batch_size": 1}, WIDE),
}
"""Name → model: an encoder of about 440 MB, two with a cache, and one that reads images."""

CHILD = """
import sys
from pathlib import Path
import transformers
from neuron_catalog import ExportRequest, export
name, task, model, out, *sizes = sys.argv[1:]
getattr(transformers, name)
if model != "nothing":
    axes = {axis: int(size) for axis, size in (each.split("=") for each in sizes)}
    export(ExportRequest(model=model, task=task, out=Path(out), axes=axes))
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


def peak(heavy: Heavy, model: Path | str, out: Path) -> int:
    """Return the largest resident size of a child process in bytes."""
    sizes = [f"{axis}={size}" for axis, size in heavy.sizes.items()]
    command = [sys.executable, "-c", CHILD, heavy.model_class, heavy.task, str(model), str(out), *sizes]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.split()[-1])


def measure(name: str) -> None:
    """Print `(peak - baseline) / weights` of one model."""
    heavy = MODELS[name]
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        model = heavy.write(Path(folder) / "model")
        weights = sum(file.stat().st_size for file in model.glob("*.safetensors"))
        idle = sorted(peak(heavy, "nothing", Path(folder)) for _ in range(RUNS))[RUNS // 2]
        busy = [peak(heavy, model, Path(folder) / f"out-{number}") for number in range(RUNS)]
    sizes = {"weights": weights, "baseline": idle, "peak": max(busy)}
    print(f"{name}: " + ", ".join(f"{what} {size / 1e6:.0f} MB" for what, size in sizes.items()))
    ratios = [(each - idle) / weights for each in busy]
    print(f"  (peak - baseline) / weights: {spread(ratios, 2)}; target <= {TARGET}")


if __name__ == "__main__":
    for each in sys.argv[1:] or MODELS:
        measure(each)
