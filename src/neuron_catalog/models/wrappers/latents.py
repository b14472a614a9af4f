"""The two halves of an autoencoder of diffusers: pixels to the distribution of latents, latents to pixels.

A graph holds the weights of its half only. The latents are not drawn in it: a graph that draws random numbers
cannot be verified, and the pipeline's own generator is to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from neuron_catalog.manifest import Plan
from neuron_catalog.models.wrappers.base import Oracle, Wrapper


class LatentEncoder(nn.Module):
    """Takes pixels, [rows, channels, height, width]; returns mean and log-variance of latents."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.quant_conv = model.quant_conv

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        moments = self.encoder(pixels)
        return (moments if self.quant_conv is None else self.quant_conv(moments),)


class LatentDecoder(nn.Module):
    """Takes latents, [rows, channels, height, width]; returns pixels."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = model.decoder
        self.post_quant_conv = model.post_quant_conv

    def forward(self, latents: Tensor) -> tuple[Tensor, ...]:
        return (self.decoder(latents if self.post_quant_conv is None else self.post_quant_conv(latents)),)


@dataclass(frozen=True)
class LatentsWrapper(Wrapper):
    """One half of an autoencoder. The oracle is the method that pipelines call."""

    half: Callable[[nn.Module], nn.Module]
    method: Callable[[Any, Tensor], Tensor]
    """The unwrapped model's way to the same numbers."""
    prefix: str = ""

    def module(self, model: nn.Module, plan: Plan) -> nn.Module:
        del plan
        return self.half(model)

    def oracle(self, model: nn.Module, plan: Plan) -> Oracle:
        (taken,), (given,) = plan.inputs, plan.outputs

        def reference(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {given.name: self.method(model, inputs[taken.name])}

        return reference

    def returns(self, model: nn.Module, plan: Plan, inputs: Mapping[str, Tensor]) -> dict[str, str]:
        """Pipelines build what they take from the tensors."""
        del model, plan, inputs
        return {}


ENCODER = LatentsWrapper(LatentEncoder, lambda model, pixels: model.encode(pixels).latent_dist.parameters)
DECODER = LatentsWrapper(LatentDecoder, lambda model, latents: model.decode(latents).sample)
