"""Modules without weights that pipelines of diffusers take for their own, and whose work graphs do.

A shell is of the class that the graph was made from, built on the device "meta": it has every attribute that
a pipeline may look at, and holds no memory. Building that of Flux's transformer takes 0.15 s and 5 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, ModelMixin, MultiControlNetModel
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn

from neuron_catalog.composition import Composition
from neuron_catalog.errors import RequestError
from neuron_catalog.models.components import class_of
from neuron_catalog.models.sources import quiet_transformers
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.runtime.diffusion.calls import PartCall

STEERED = "conditioning_scale"
"""How much a ControlNet counts; its graph takes it for each row."""

CHANGING = (
    "add_adapter",
    "enable_cache",
    "enable_freeu",
    "enable_layerwise_casting",
    "fuse_qkv_projections",
    "load_attn_procs",
    "load_lora_adapter",
    "load_state_dict",
    "resize_token_embeddings",
    "set_adapters",
    "set_attn_processor",
)
"""Methods of modules that change what is computed. What only saves memory is let pass."""

TYPES = {"half": torch.float16, "bfloat16": torch.bfloat16, "double": torch.float64, "float": torch.float32}
"""Methods of modules that change a type → the type."""


def shells_of(
    composition: Composition, parts: Mapping[str, CompiledModel], folder: Path
) -> dict[str, nn.Module | list[nn.Module]]:
    """Return the modules of a pipeline by what diffusers calls them. Of ControlNets there may be several."""
    sources = {record.source for record in composition.parts.values()}
    found: dict[str, nn.Module | list[nn.Module]] = {}
    for source in sorted(sources):
        names = [name for name, record in composition.parts.items() if record.source == source]
        built = class_of_part(parts[names[0]])
        if issubclass(built, AutoencoderKL):
            found[source] = _coder(built, {name: parts[name] for name in names}, folder)
        elif issubclass(built, ControlNetModel):
            nets = [_steering(built, name, parts[name], folder) for name in names]
            found[source] = nets[0] if len(nets) == 1 else side_by_side(nets)
        else:
            (name,) = names
            call = PartCall.of(name, parts[name], built.forward)
            found[source] = empty_shell(built, folder / name, {"forward": call})
    return found


def class_of_part(compiled: CompiledModel) -> Any:
    """Return the class that a graph was made from."""
    plan = compiled.manifest.plan
    return class_of(plan.library, plan.model_class, plan.architecture)


def empty_shell(built: Any, folder: Path, functions: Mapping[str, Callable[..., Any]]) -> nn.Module:
    """Return a module of a class without weights, some methods of which are functions.

    Its class keeps name and module of the original, by which diffusers and transformers look things up.
    """
    space: dict[str, Any] = {name: _method(function) for name, function in functions.items()}
    space |= {"__module__": built.__module__, "__qualname__": built.__qualname__, "__doc__": built.__doc__}
    space |= {
        "device": property(_device),
        "dtype": property(_dtype),
        "to": _stay,
        "cuda": _cuda,
        "save_pretrained": _unsaved,
    }
    space |= {name: _typed(dtype) for name, dtype in TYPES.items()}
    space |= {name: _unchangeable(name) for name in CHANGING if hasattr(built, name)}
    kind: Any = type(built.__name__, (built,), space)
    with torch.device("meta"), quiet_transformers():
        if issubclass(built, ModelMixin):
            config = {key: value for key, value in kind.load_config(folder).items() if key != "neuron"}
            shell: nn.Module = kind.from_config(config)
        else:
            shell = kind(kind.config_class.from_pretrained(folder))
    return shell.eval().requires_grad_(False)


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        del self
        return function(*args, **kwargs)

    return method


def _device(self: nn.Module) -> torch.device:
    del self
    return torch.device("cpu")


def _dtype(self: nn.Module) -> torch.dtype:
    del self
    return torch.float32


def require_here(what: str, places: Iterable[Any]) -> None:
    """Let pass the device and the type that compiled graphs have already, and values that name neither.

    Raises:
        RequestError: if it is another device, or another type than float32.
    """
    for place in places:
        if isinstance(place, torch.dtype) and place != torch.float32:
            raise RequestError(f"{what} computes in float32, not in {place}.", "Leave the type out.")
        if isinstance(place, (str, torch.device)) and torch.device(place).type != "cpu":
            raise RequestError(
                f"{what} was compiled for the CPU and cannot be moved to {place}.",
                "Export the pipeline for that device.",
            )


def _stay(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """Pipelines move their modules where they are already, and change a type back and forth."""
    require_here("A compiled part", (*args, *kwargs.values()))
    return self


def _cuda(self: nn.Module, device: int | None = None) -> nn.Module:
    return _stay(self, "cuda" if device is None else f"cuda:{device}")


def _typed(dtype: torch.dtype) -> Callable[[nn.Module], nn.Module]:
    return lambda self: _stay(self, dtype)


def _unsaved(self: nn.Module, *args: Any, **kwargs: Any) -> None:
    del self, args, kwargs
    raise RequestError(
        "A compiled part has no weights to save.", "Call save_pretrained of the whole pipeline."
    )


def _unchangeable(name: str) -> Callable[..., None]:
    def refuse(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        raise RequestError(
            f"{name} of {type(self).__name__} has no effect: what a compiled part computes is fixed.",
            "Change the checkpoint and export it, or leave this out.",
        )

    return refuse


def _coder(built: Any, halves: Mapping[str, CompiledModel], folder: Path) -> nn.Module:
    """Return an autoencoder: its halves are graphs, and what lies between them is diffusers' own."""
    functions: dict[str, Callable[..., Any]] = {name: _absent(name) for name in ("encode", "decode")}
    for compiled in halves.values():
        (output,) = (tensor.name for tensor in compiled.manifest.plan.outputs)
        (taken,) = (tensor.name for tensor in compiled.manifest.plan.inputs)
        functions["encode" if output == "latent_parameters" else "decode"] = _half(compiled, taken, output)
    return empty_shell(built, folder / next(iter(halves)), functions)


def _absent(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        del args, kwargs
        raise RequestError(f"The part of the VAE that can {name} is not exported.", "Do it with diffusers.")

    return refuse


def _half(compiled: CompiledModel, taken: str, output: str) -> Callable[..., Any]:
    def call(value: Tensor, return_dict: bool = True, generator: Any = None) -> Any:
        del generator  # it is for drawing latents, which the pipeline does
        tensor = compiled.run({taken: value.float()})[output]
        if output == "latent_parameters":
            drawn = DiagonalGaussianDistribution(tensor)
            return AutoencoderKLOutput(latent_dist=drawn) if return_dict else (drawn,)
        return DecoderOutput(sample=tensor) if return_dict else (tensor,)

    return call


def _steering(built: Any, name: str, compiled: CompiledModel, folder: Path) -> nn.Module:
    """Return a ControlNet. In guess mode each residual has a scale of its own (`ControlNetModel.forward`)."""
    call = PartCall.of(name, compiled, built.forward)

    def forward(*args: Any, **kwargs: Any) -> Any:
        given = dict(call.signature.bind(None, *args, **kwargs).arguments)
        if not given.get("guess_mode"):
            return call(**{key: value for key, value in given.items() if key not in ("self", "guess_mode")})
        scale = float(given.get(STEERED, 1.0))
        answer = call(**{**_without(given, "self", "guess_mode", "return_dict"), STEERED: 1.0})
        scales = torch.logspace(-1, 0, len(answer.down_block_res_samples) + 1) * scale
        below = zip(answer.down_block_res_samples, scales, strict=False)
        answer["down_block_res_samples"] = tuple(residual * each for residual, each in below)
        answer["mid_block_res_sample"] = answer.mid_block_res_sample * scales[-1]
        return answer if given.get("return_dict", True) else answer.to_tuple()

    return empty_shell(built, folder / name, {"forward": forward})


def _without(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in names}


class SideBySide(MultiControlNetModel):
    """Several ControlNets, whose residuals are added. Their device cannot be told from weights on "meta"."""

    device = property(_device)
    dtype = property(_dtype)


def side_by_side(nets: list[nn.Module]) -> nn.Module:
    """Return several ControlNets as one."""
    module: nn.Module = SideBySide(nets)
    return module
