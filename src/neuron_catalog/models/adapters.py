"""LoRA adapters: which ones are asked for, and where their files lie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download

from neuron_catalog.errors import RequestError, UsageError, nearest
from neuron_catalog.models.sources import HubAccess, hub_errors, require_folder_or_id

SAFE = ".safetensors"
PICKLED = (".bin", ".ckpt", ".pkl", ".pt", ".pth")
USUAL_FILE = "pytorch_lora_weights.safetensors"
"""What `save_lora_weights` of diffusers writes unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One adapter that is asked for."""

    model: str
    """A folder, a .safetensors file, or a repository of the hub."""
    weight_name: str | None = None
    """The file in the folder or repository, needed if there are several."""
    name: str = "adapter_0"
    scale: float = 1.0

    def __str__(self) -> str:
        place = f"{self.model}/{self.weight_name}" if self.weight_name else self.model
        return f"{self.name} ({place})"


def make_adapters(
    model_ids: Sequence[str] | None,
    weight_names: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    scales: Sequence[float] | None = None,
) -> tuple[Adapter, ...]:
    """Return the adapters that four lists of options describe, one entry each per adapter.

    Raises:
        UsageError: if the lists do not belong together, an entry is empty, or two names are equal.
    """
    models = tuple(model_ids or ())
    chosen = tuple(names or ()) or tuple(f"adapter_{number}" for number in range(len(models)))
    files = tuple(weight_names or ()) or (None,) * len(models)
    factors = tuple(scales or ()) or (1.0,) * len(models)
    lists = {"weight_names": files, "adapter_names": chosen, "scales": factors}
    for option, given in lists.items():
        if len(given) != len(models):
            raise UsageError(
                f"--lora_{option} and --lora_model_ids differ in length: {len(given)} and {len(models)}.",
                "Give one entry per adapter, in the same order.",
            )
    for option, given in ({"model_ids": models} | lists).items():
        if "" in given:
            raise UsageError(f"An entry of --lora_{option} is empty.", "Give one entry per adapter.")
    for name, count in Counter(chosen).items():
        if count > 1:
            raise UsageError(f"Two adapters are called {name}.", "Choose different --lora_adapter_names.")
    for name, factor in zip(chosen, factors, strict=True):
        if not math.isfinite(factor):
            raise UsageError(f"The scale of {name} is {factor}.", "Give a finite number in --lora_scales.")
    return tuple(
        Adapter(model=model, weight_name=file, name=name, scale=factor)
        for model, file, name, factor in zip(models, files, chosen, factors, strict=True)
    )


def find_file(adapter: Adapter, access: HubAccess) -> Path:
    """Return the safetensors file of an adapter, downloaded if need be.

    Raises:
        RequestError: if there is none, there are several, or it is a pickle.
    """
    place = Path(adapter.model)
    if place.suffix in (SAFE, *PICKLED) and not place.exists():
        raise RequestError(f"There is no file {place}.", "Check the path.")
    require_folder_or_id(adapter.model)
    if place.is_file():
        if adapter.weight_name not in (None, place.name):
            raise RequestError(
                f"{place} is a file, in which there is no {adapter.weight_name}.",
                "Give its folder as the model id, or no --lora_weight_names.",
            )
        return place.parent / _safe(place.name)
    if place.is_dir():
        names = [file.name for file in place.iterdir() if file.is_file()]
        file = place / (_safe(adapter.weight_name) if adapter.weight_name else _only_one(adapter, names))
        if not file.is_file():
            raise RequestError(
                f"The folder {place} has no file {adapter.weight_name}.",
                f"Check --lora_weight_names: {nearest(str(adapter.weight_name), _safe_ones(names))}",
            )
        return file
    with hub_errors(adapter.model):
        if adapter.weight_name:
            name = _safe(adapter.weight_name)
        else:
            name = _only_one(adapter, HfApi(token=access.token).list_repo_files(adapter.model))
        return Path(hf_hub_download(adapter.model, name, token=access.token, cache_dir=access.cache_dir))


def _safe(name: str) -> str:
    """Return the name of a file that is read without running code."""
    if name.endswith(PICKLED):
        raise RequestError(
            f"{name} is pickled, and a pickle can run any code when it is read.",
            "Convert it to safetensors, or choose an adapter that comes so.",
        )
    if not name.endswith(SAFE):
        raise RequestError(f"{name} is no {SAFE} file.", "Choose one with --lora_weight_names.")
    return name


def _safe_ones(names: Sequence[str]) -> list[str]:
    return sorted(name for name in names if name.endswith(SAFE))


def _only_one(adapter: Adapter, names: Sequence[str]) -> str:
    """Return the file that can be meant: the only one, or that with the usual name."""
    here = [name for name in names if "/" not in name]
    found = _safe_ones(here)
    if USUAL_FILE in found:
        return USUAL_FILE
    if len(found) > 1:
        raise RequestError(
            f"{adapter.model} has several files of weights: {', '.join(found)}.",
            "Choose one with --lora_weight_names.",
        )
    if not found:
        for name in here:
            if name.endswith(PICKLED):
                _safe(name)
        raise RequestError(
            f"{adapter.model} has no {SAFE} file.",
            "Check --lora_model_ids, or name it with --lora_weight_names.",
        )
    return found[0]
