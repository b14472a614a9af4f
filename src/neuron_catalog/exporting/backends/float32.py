"""What backends have in common that run a graph of torch in float32 on the CPU, as the eager model does."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import transformers
from pydantic import JsonValue

from neuron_catalog.exporting.backends.protocol import Settings

NEUTRAL: dict[str, tuple[JsonValue, ...]] = {
    "auto_cast": ("none", None),
    "auto_cast_type": ("fp32", "float32", None),
    "num_cores": (1, None),
    "optlevel": (None,),
}
"""Compiler option → the values that ask for nothing that these backends do not do anyway."""


def versions() -> dict[str, str]:
    """Return the versions of torch, which traces, and of transformers, which holds the model code."""
    return {"torch": torch.__version__, "transformers": transformers.__version__}


def unable_to_run() -> str:
    """The CPU is always there."""
    return ""


def unable_to_load(arguments: Mapping[str, JsonValue], versions: Mapping[str, str]) -> str:  # noqa: ARG001
    """It runs on any CPU."""
    return ""


def completed(asked: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """There is nothing to add."""
    return dict(asked)


def environment(settings: Settings) -> dict[str, str]:  # noqa: ARG001
    """It compiles in the process that asks."""
    return {}


def unsupported(option: str, value: JsonValue) -> str:
    """All is computed in float32 on the CPU, as the eager model does; no compiler has a say in it."""
    neutral = NEUTRAL.get(option)
    if neutral is None:
        return f"it knows no option {option}"
    return "" if value in neutral else f"it runs in float32 on the CPU, so {option} can only be {neutral[0]}"
