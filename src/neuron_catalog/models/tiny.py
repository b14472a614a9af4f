"""The tiny model of an architecture: seeded random weights, the same numbers on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from pydantic import JsonValue
from torch import Tensor, nn
from transformers import PretrainedConfig

from neuron_catalog.errors import RequestError, first_line
from neuron_catalog.manifest import Plan
from neuron_catalog.models.arguments import fixed_arguments
from neuron_catalog.models.fills import make_inputs
from neuron_catalog.models.sources import EagerModel, build_model, quiet_transformers
from neuron_catalog.schema.documents import Architecture

TINY_VECTOR_NOISE = 0.05
"""Standard deviation of the noise on tiny biases and norms. Fresh biases are zero and fresh norms one, which
would hide a graph that leaves them out."""

TINY_MATRIX_GAIN = 1.0
"""Standard deviation of the noise on tiny matrices and kernels, times the square root of their fan-in. This
keeps signals alive through many layers (LeCun et al., 1998)."""

CALIBRATION_SEEDS = range(8)
"""Seeds of the inputs that batch norms of tiny models take their statistics from."""


@dataclass(frozen=True)
class TinySource:
    """The architecture's tiny model with seeded random weights: the same numbers on every machine."""

    architecture: Architecture
    seed: int
    kind: Literal["tiny"] = "tiny"

    @property
    def name(self) -> str:
        return f"tiny {self.architecture.architecture}"

    @property
    def model_type(self) -> str:
        """What transformers calls the model: the architecture's name, unless the tiny config says another."""
        return str(self.architecture.tiny.config.get("model_type", self.architecture.architecture))

    def config(self) -> PretrainedConfig:
        name = self.architecture.architecture
        arguments = {key: plain(value) for key, value in self.architecture.tiny.config.items()}
        arguments.pop("model_type", None)
        try:
            with quiet_transformers():
                return transformers.AutoConfig.for_model(self.model_type, **arguments)
        except (ValueError, TypeError, AttributeError, StrictDataclassError) as error:
            raise RequestError(
                f"The tiny config of {name} is refused by transformers: {first_line(error)}",
                "Correct tiny.config in the architecture's YAML.",
            ) from error

    def load(self, plan: Plan) -> EagerModel:
        with torch.random.fork_rng(devices=[]), quiet_transformers():
            torch.manual_seed(self.seed)
            model = self._build(plan)
            disturb(model)
            _calibrate(model.eval(), plan)
        return EagerModel(model)

    def copy_preprocessing(self, folder: Path) -> None:
        """A tiny model has no tokenizer."""

    def identity(self) -> JsonValue:
        """Return what they are made from, beside the config."""
        return {"seed": self.seed, "tiny": self.architecture.tiny.model_dump(mode="json")}

    def _build(self, plan: Plan) -> Any:
        config = self.config()
        config.architectures = []  # an auto class with a choice takes its first, instead of failing on None
        try:
            return build_model(plan, config)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise RequestError(
                f"The tiny {plan.architecture} model for {plan.task} cannot be built: "
                f"{type(error).__name__}: {first_line(error)}",
                "Correct tiny.config in the architecture's YAML; --debug shows the place.",
            ) from error


def disturb(model: nn.Module) -> None:
    """Add noise to all weights, so that each of them matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=_noise(parameter))
        for buffer in _empty_books(model):
            buffer.add_(torch.randn_like(buffer), alpha=_noise(buffer))


def _empty_books(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tables that a checkpoint fills and no gradient does: codebooks, learnt as running means.

    Fresh ones are all zeros, so that every code means the same.
    """
    kept = model.state_dict(keep_vars=True)
    for name, buffer in model.named_buffers():
        if name in kept and buffer.dim() > 1 and buffer.is_floating_point() and not buffer.any():
            yield buffer


def _noise(parameter: Tensor) -> float:
    if parameter.dim() < 2 or not parameter.numel():
        return TINY_VECTOR_NOISE
    fan_in = parameter.numel() / parameter.shape[0]
    return float(TINY_MATRIX_GAIN / fan_in**0.5)


def _calibrate(model: Any, plan: Plan) -> None:
    """Give batch norms the statistics of example inputs, as training would.

    Fresh ones take mean 0 and variance 1 for granted. Then signals die out: the deeper convolutional networks
    answered every image alike to within 1e-5, and a graph with a dead input would have passed.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    samples = [make_inputs(plan, seed) for seed in CALIBRATION_SEEDS]
    joined = {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    with torch.no_grad():
        model(**joined, **fixed_arguments(plan, joined))
    model.eval()


def plain(value: Any) -> Any:
    """Copy frozen catalog data into lists and dicts that a config may keep and change."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
