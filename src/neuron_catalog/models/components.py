"""Where components of a pipeline come from: a folder of a checkpoint, or seeded random weights."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from pydantic import JsonValue
from torch import nn

from neuron_catalog.digests import record_file
from neuron_catalog.errors import RequestError, RequirementError, first_line
from neuron_catalog.manifest import Plan
from neuron_catalog.models.adapter_weights import AdapterWeights
from neuron_catalog.models.lora import merge
from neuron_catalog.models.sources import EagerModel, hub_errors, quiet_transformers
from neuron_catalog.models.tiny import disturb, plain
from neuron_catalog.schema.components import Component

EXTRA = 'Install it with: pip install "neuron-catalog[diffusion]"'

WEIGHTS = ("diffusion_pytorch_model", "model")
"""What diffusers and transformers call a file of weights."""

VARIANTS = ("", ".fp16")
"""What stands in their names: nothing, or `fp16` for half precision. The first that is there is read."""


def weight_patterns(variant: str) -> tuple[str, ...]:
    """Return patterns for files of weights, one or several."""
    ends = (f"{variant}.safetensors", f"{variant}-*-of-*.safetensors")
    return tuple(f"{stem}{end}" for stem in WEIGHTS for end in ends)


def diffusers(what: str) -> ModuleType:
    """Return the package diffusers.

    Raises:
        RequirementError: naming the extra, if it is not installed.
    """
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError as error:
        if error.name != "diffusers":
            raise
        raise RequirementError(
            f"{what} needs the package diffusers, which is not installed.", EXTRA
        ) from None


def class_of(library: str, name: str, what: str) -> Any:
    """Return a class of diffusers or transformers.

    Raises:
        RequirementError: if the package is not installed, or has no such class.
    """
    package = diffusers(what) if library == "diffusers" else importlib.import_module(library)
    try:
        with quiet_transformers():  # diffusers imports a class when it is asked for, and others with it
            return getattr(package, name)
    except AttributeError:
        raise RequirementError(
            f"The installed {library} {package.__version__} has no class {name}, which {what} needs.",
            f"Upgrade {library}.",
        ) from None


def component_class(component: Component) -> Any:
    """Return the class that builds a component; see `class_of`."""
    return class_of(component.library, component.model_class, component.component)


def component_config(component: Component, given: Mapping[str, Any]) -> Any:
    """Return the whole config of a component: a checkpoint's file leaves out what it does not know of.

    Raises:
        RequestError: if the library refuses it.
    """
    built = component_class(component)
    if component.library == "diffusers":
        known = inspect.signature(built.__init__).parameters.values()
        defaults = {each.name: each.default for each in known if each.default is not inspect.Parameter.empty}
        return {**defaults, **given}
    own = {key: value for key, value in given.items() if key not in ("model_type", "architectures")}
    try:
        return built.config_class(**own)
    except (ValueError, TypeError, AttributeError) as error:
        raise RequestError(
            f"The config of {component.component} is refused by {component.library}: {first_line(error)}",
            "Check its config.json.",
        ) from error


def empty_component(component: Component, given: Mapping[str, Any]) -> nn.Module:
    """Return a component without weights: all sizes and nothing else."""
    with torch.device("meta"), quiet_transformers():
        module: nn.Module = _built(component, given)
    return module


def _built(component: Component, given: Mapping[str, Any]) -> Any:
    built = component_class(component)
    config = component_config(component, given)
    if component.library != "diffusers":
        return built(config)
    own = {key: value for key, value in config.items() if not key.startswith("_")}
    return built(**{key: value for key, value in own.items() if key in inspect.signature(built).parameters})


@dataclass(frozen=True, kw_only=True)
class TinyComponentSource:
    """A component with seeded random weights: the same numbers on every machine."""

    component: Component
    given: Mapping[str, Any]
    """Its config, as far as it is not the class's default."""
    seed: int
    kind: Literal["tiny"] = "tiny"

    @classmethod
    def of(
        cls, component: Component, seed: int, given: Mapping[str, Any] | None = None
    ) -> TinyComponentSource:
        """Return the source of the tiny version, or of one with another config."""
        return cls(component=component, given=given or component.tiny.config, seed=seed)

    @property
    def name(self) -> str:
        return f"tiny {self.component.component}"

    def config(self) -> Any:
        return component_config(self.component, plain(self.given))

    def load(self, plan: Plan) -> EagerModel:
        del plan
        return EagerModel(self.module())

    def module(self) -> Any:
        """Build the component, in eval mode."""
        with torch.random.fork_rng(devices=[]), quiet_transformers():
            torch.manual_seed(self.seed)
            model = _built(self.component, plain(self.given))
            disturb(model)
        return model.eval()

    def copy_preprocessing(self, folder: Path) -> None:
        """Tokenizers belong to the pipeline."""

    def identity(self) -> JsonValue:
        """Return what they are made from, beside the config."""
        return {"seed": self.seed, "tiny": plain(self.given)}


def _nothing() -> None:
    """Fetch nothing: all is there."""


@dataclass(frozen=True, kw_only=True)
class ComponentSource:
    """A folder with the config and the safetensors weights of one component."""

    component: Component
    part: str
    """Which part of a pipeline it is."""
    folder: Path
    title: str = ""
    """What to call it in records, if not by its folder."""
    revision: str | None = None
    adapters: tuple[AdapterWeights, ...] = ()
    """What is merged into its weights."""
    fetch: Callable[[], None] = field(default=_nothing, repr=False)
    """Downloads the weights. Only the config is there before."""
    kind: Literal["checkpoint"] = "checkpoint"

    @property
    def name(self) -> str:
        return self.title or str(self.folder)

    def config(self) -> Any:
        return component_config(self.component, self.raw_config)

    @cached_property
    def raw_config(self) -> dict[str, Any]:
        """The file config.json.

        Raises:
            RequestError: if there is none, or it is one of another class.
        """
        path = self.folder / "config.json"
        try:
            config = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RequestError(
                f"The part {self.part} cannot be read: {path}: {first_line(error)}",
                "Give a folder that save_pretrained of a pipeline wrote.",
            ) from error
        found = (
            [config["_class_name"]] if "_class_name" in config else list(config.get("architectures") or ())
        )
        if self.component.model_class not in found:
            raise RequestError(
                f"{self.part} in {self.folder} is {' or '.join(found) or 'of no class'}, and "
                f"{self.component.component} is {self.component.model_class}.",
                "Only this class is served as this part.",
            )
        return dict(config)

    def load(self, plan: Plan) -> EagerModel:
        del plan
        return EagerModel(self.module(), revision=self.revision)

    def module(self) -> Any:
        """Load the component, merge the adapters, and return it in float32 and eval mode.

        Raises:
            RequestError: if it cannot be read, lacks weights, or an adapter does not fit.
        """
        built = component_class(self.component)
        variant = "fp16" if ".fp16" in self.weights[0].name else None
        dtype = "torch_dtype" if self.component.library == "diffusers" else "dtype"
        with hub_errors(self.name, self.component.library), quiet_transformers():
            model, loading = built.from_pretrained(
                self.folder,
                **{dtype: torch.float32},
                use_safetensors=True,
                variant=variant,
                output_loading_info=True,
            )
        if missing := sorted(loading["missing_keys"]):
            raise RequestError(
                f"{self.name} lacks {len(missing)} weights of {self.component.model_class}: {missing[0]}, …",
                "Download or copy the checkpoint again.",
            )
        merge(model, self.part, *self.adapters)
        return model.eval()

    def copy_preprocessing(self, folder: Path) -> None:
        """Tokenizers belong to the pipeline."""

    @cached_property
    def weights(self) -> tuple[Path, ...]:
        """The files of weights that are read.

        Raises:
            RequestError: if there are none but pickles, or they cannot be downloaded.
        """
        self.fetch()
        for variant in VARIANTS:
            patterns = weight_patterns(variant)
            found = [file for pattern in patterns for file in sorted(self.folder.glob(pattern))]
            if found:
                return tuple(found)
        raise RequestError(
            f"The folder {self.folder} has no weights (*.safetensors).",
            "Give a checkpoint that was saved with safe_serialization=True.",
        )

    @cached_property
    def _digests(self) -> tuple[str, ...]:
        """Of the files of weights: they may be large, and are asked for more than once."""
        return tuple(record_file(path).sha256 for path in self.weights)

    def identity(self) -> JsonValue:
        """Return the digests of all files that they are made from, beside the config."""
        own = [each for each in self.adapters if self.part in each.parts]
        return {
            "files": list(self._digests),
            "merged": [[each.record.sha256, each.adapter.scale] for each in own],
        }


PartSource = TinyComponentSource | ComponentSource
"""Where a part of a pipeline comes from."""
