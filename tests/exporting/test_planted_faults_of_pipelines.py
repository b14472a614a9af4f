"""Faults in one part of a pipeline: the command line refuses the whole, and says which part is wrong."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from tests.conftest import leftovers
from tests.diffusion import CONTROLNET, SIZES, save_component
from torch import nn

from neuron_catalog.models import wrappers
from neuron_catalog.models.wrappers.forward import ForwardWrapper
from neuron_catalog.models.wrappers.latents import LatentDecoder, LatentEncoder, LatentsWrapper

REFUSED = 6
GO_ON = "Finished parts are kept: the same command goes on from there.\n"


class Altered(nn.Module):
    """A module that gets other tensors than its caller gives; `change` takes and returns them by name."""

    def __init__(self, module, names, change):
        super().__init__()
        self.module, self.names, self.change = module, names, change

    def forward(self, *tensors):
        return self.module(*self.change(dict(zip(self.names, tensors, strict=True))).values())


@dataclass
class Faulty(ForwardWrapper):
    """The plain wrapper, which errs for one component."""

    component: str
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]

    def module(self, model, plan):
        right = super().module(model, plan)
        if plan.architecture != self.component:
            return right
        return Altered(right, [tensor.name for tensor in plan.inputs], self.change)


def without_timestep(tensors):
    return {**tensors, "timestep": torch.ones_like(tensors["timestep"])}


def swapped(first, second):
    return lambda tensors: {**tensors, first: tensors[second], second: tensors[first]}


def without_picture(tensors):
    return {**tensors, "controlnet_cond": torch.zeros_like(tensors["controlnet_cond"])}


FAULTS = {
    "a denoiser that ignores the time": (
        "unet",
        without_timestep,
        "inputs_alive: timestep has no effect on any output: its traced value was baked in",
    ),
    "residuals in the wrong order": (
        "unet",
        swapped("down_block_additional_residuals.0", "down_block_additional_residuals.1"),
        "oracle: sample differs by",
    ),
    "a ControlNet that ignores its picture": (
        "controlnet",
        without_picture,
        "inputs_alive: controlnet_cond has no effect on any output: its traced value was baked in",
    ),
}


class Convolutionless(LatentDecoder):
    """The decoder without the convolution before it."""

    def forward(self, latents):
        return (self.decoder(latents),)


class MeanOnly(LatentEncoder):
    """Says the same of every picture's spread."""

    def forward(self, pixels):
        (moments,) = super().forward(pixels)
        mean, spread = moments.chunk(2, dim=1)
        return (torch.cat([mean, torch.zeros_like(spread)], dim=1),)


HALVES = {
    "vae_decoder": ("latent-decoder", Convolutionless, "oracle: sample differs by"),
    "vae_encoder": ("latent-encoder", MeanOnly, "oracle: latent_parameters differs by"),
}


@pytest.fixture
def command(saved_pipelines):
    sizes = [f"--{axis}={size}" for axis, size in SIZES.items()]
    return ["export", "--model", str(saved_pipelines("stable-diffusion")), "out", *sizes]


def require_refused(answer, part, said, folder):
    code, out, err = answer
    assert code == REFUSED
    assert (
        f"Error: {part}: The compiled graph is not the model it was made from; nothing was written.\n" in err
    )
    assert f"\n  {said}" in err
    assert err.endswith(GO_ON)
    assert leftovers(folder) == [".out.parts"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_part_that_is_called_wrongly_is_refused(
    fault, command, catalog, run, monkeypatch, tmp_path, controlnet
):
    part, change, said = FAULTS[fault]
    monkeypatch.setitem(wrappers.WRAPPERS, "forward", Faulty(part, change))
    more = [] if fault.startswith("a denoiser") else ["--controlnet_ids", str(controlnet)]
    require_refused(run(*command, *more), part, said, tmp_path)


@pytest.mark.parametrize("part", HALVES)
def test_half_an_autoencoder_that_leaves_something_out_is_refused(part, command, run, monkeypatch, tmp_path):
    word, module, said = HALVES[part]
    right = wrappers.WRAPPERS[word]
    monkeypatch.setitem(wrappers.WRAPPERS, word, LatentsWrapper(module, right.method))
    require_refused(run(*command), part, said, tmp_path)


@pytest.fixture(scope="module")
def controlnet(catalog, tmp_path_factory):
    return save_component(catalog, "controlnet", tmp_path_factory.mktemp("canny") / "canny", CONTROLNET)
