"""Where an eager model comes from, and the source of real ones: a folder, or a repository of the hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import transformers
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HFValidationError,
    HTTPError,  # the base of its HTTP client's errors, whichever client that is
    LocalEntryNotFoundError,
    StrictDataclassError,
)
from pydantic import JsonValue
from safetensors import SafetensorError
from torch import nn
from transformers import PretrainedConfig

from neuron_catalog.errors import RequestError, RequirementError, first_line
from neuron_catalog.manifest import Plan
from neuron_catalog.models.checkpoint_files import (
    PREPROCESSING_FILES,
    code_within,
    copy_matching,
    digests_of_what_decides,
    require_safetensors,
)


@dataclass(frozen=True)
class EagerModel:
    """A model in eval mode, the weights that its checkpoint did not have, and its exact revision."""

    module: nn.Module
    missing_weights: tuple[str, ...] = ()
    revision: str | None = None


@dataclass(frozen=True, kw_only=True)
class HubAccess:
    """How a repository of the Hugging Face hub is read."""

    revision: str | None = None
    """Branch, tag or commit."""
    token: str | None = field(default=None, repr=False)
    """For private repositories; that of `hf auth login` is used if absent."""
    cache_dir: str | None = None


class Source(Protocol):
    """What the exporter asks of a source."""

    @property
    def kind(self) -> Literal["tiny", "checkpoint"]:
        """What the weights are."""

    @property
    def name(self) -> str:
        """What to call the source in records."""

    def config(self) -> PretrainedConfig:
        """Return the Hugging Face config."""

    def load(self, plan: Plan) -> EagerModel:
        """Build the eager model for the plan's task, in float32 and eval mode."""

    def copy_preprocessing(self, folder: Path) -> None:
        """Copy tokenizer and processor files into `folder`."""

    def identity(self) -> JsonValue:
        """Return what tells these weights from others, without loading them; None if nothing can."""


@dataclass(frozen=True, kw_only=True)
class CheckpointSource(HubAccess):
    """A folder with a config and safetensors weights, or a repository of the Hugging Face hub."""

    model: str
    trust_remote_code: bool = False
    allow_pickle: bool = False
    seed: int = 0
    """Seeds the weights that the checkpoint lacks, so that its digest is repeatable."""
    kind: Literal["checkpoint"] = "checkpoint"

    @property
    def name(self) -> str:
        return self.model

    def raw_config(self) -> dict[str, Any]:
        """Return config.json as it is, without asking transformers whether it knows the model type.

        Raises:
            RequestError: if there is none.
        """
        require_folder_or_id(self.model)
        place = self.transformer_place
        if Path(place).is_dir() and not (Path(place) / "config.json").is_file():
            raise RequestError(
                f"The folder {place} has no config.json.",
                "Give a folder written by save_pretrained, or a model id of the hub.",
            )
        with hub_errors(self.model), quiet_transformers():
            raw, _ = PretrainedConfig.get_config_dict(place, **self._from)
        if not isinstance(raw.get("model_type"), str):
            raise RequestError(
                f"The config.json of {self.model} names no model_type.",
                "Add it: transformers cannot load the model without it either.",
            )
        if place := code_within(raw):
            raise RequestError(
                f"The config.json of {self.model} names code of its own for a part of the model ({place}).",
                "Only code for the whole model can be allowed. If transformers has that part, take it out.",
            )
        return dict(raw)

    @property
    def transformer_place(self) -> str:
        """The folder or hub id where the transformer's config.json and weights lie."""
        return self.model

    def config(self) -> PretrainedConfig:
        with hub_errors(self.model), quiet_transformers():
            return transformers.AutoConfig.from_pretrained(
                self.transformer_place, trust_remote_code=self.trust_remote_code, **self._from
            )

    def load(self, plan: Plan) -> EagerModel:
        require_safetensors(Path(self.model), self.allow_pickle)
        with torch.random.fork_rng(devices=[]), hub_errors(self.model), quiet_transformers():
            torch.manual_seed(self.seed)
            model, loading = model_class(plan).from_pretrained(
                self.model,
                dtype=torch.float32,
                attn_implementation=plan.attn_implementation,
                use_safetensors=None if self.allow_pickle else True,
                trust_remote_code=self.trust_remote_code,
                output_loading_info=True,
                **self._from,
            )
        return EagerModel(model.eval(), tuple(sorted(loading["missing_keys"])), self._commit())

    def _commit(self) -> str | None:
        """Return the exact revision that was read: a folder of the cache is named by it."""
        if Path(self.model).is_dir():
            return None
        with hub_errors(self.model):
            return Path(hf_hub_download(self.model, "config.json", **self._from)).parent.name

    def copy_preprocessing(self, folder: Path) -> None:
        copy_matching(self.fetched(PREPROCESSING_FILES), PREPROCESSING_FILES, folder)

    def identity(self) -> JsonValue:
        """Return the commit, or the digests of all files that decide beside the config.

        Code that comes with a checkpoint may read anything, so nothing tells what it makes.
        """
        if self.trust_remote_code and "auto_map" in self.raw_config():
            return None
        if not Path(self.model).is_dir():
            return {"repository": self.model, "commit": self._commit()}
        return {**digests_of_what_decides(Path(self.model), self.allow_pickle)}

    def fetched(self, patterns: tuple[str, ...]) -> Path:
        """Return the folder with the files that match, downloaded if need be.

        Raises:
            RequestError: if the hub cannot be reached.
        """
        if Path(self.model).is_dir():
            return Path(self.model)
        with hub_errors(self.model):
            return Path(
                snapshot_download(
                    self.model,
                    revision=self.revision,
                    token=self.token,
                    cache_dir=self.cache_dir,
                    allow_patterns=list(patterns),
                )
            )

    @property
    def _from(self) -> dict[str, Any]:
        return {"revision": self.revision or "main", "cache_dir": self.cache_dir, "token": self.token}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep notices and bars of transformers, and of diffusers if in use, off the terminal for a while."""
    with ExitStack() as stack:
        for library in ("transformers", "diffusers"):
            if library in sys.modules:
                stack.enter_context(_quiet(sys.modules[library].utils.logging))
        yield


@contextmanager
def _quiet(log: Any) -> Iterator[None]:
    """Silence the logging of a library; restore it after."""
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def require_folder_or_id(model: str) -> None:
    """Tell a path that does not exist from an id of the hub, before the network is asked.

    Raises:
        RequestError: if `model` can only be a path, and nothing is there.
    """
    looks_like_path = model.startswith((".", "/", "~")) or model.count("/") > 1
    if looks_like_path and not Path(model).exists():
        raise RequestError(f"There is no folder {model}.", "Check the path.")


@contextmanager
def hub_errors(model: str, library: str = "transformers") -> Iterator[None]:
    """Turn what loading may raise into one sentence of cause and one of remedy."""
    try:
        yield
    except SafetensorError as error:
        raise RequestError(
            f"The weights of {model} are corrupt: {first_line(error)}.",
            "Download or copy the checkpoint again.",
        ) from error
    except HFValidationError as error:
        raise RequestError(
            f"{model} is no folder, and no id of the hub either: {first_line(error)}",
            "Give the path of a folder, or an id such as owner/name.",
        ) from error
    except (LocalEntryNotFoundError, HTTPError, OSError) as error:
        raise RequestError(
            f"{model} could not be read: {first_line(error)}",
            "Check the name and the network; a folder on this machine needs no network.",
        ) from error
    except (ValueError, RuntimeError, StrictDataclassError) as error:
        raise RequestError(
            f"{library} {metadata.version(library)} refuses {model}: {first_line(error)}",
            "Check that the checkpoint is whole and made for this model type.",
        ) from error


def build_model(plan: Plan, config: PretrainedConfig) -> Any:
    """Build the model for the plan's task with fresh weights, in float32.

    Raises:
        RequirementError: if the installed transformers has no such class.
    """
    chosen = model_class(plan)
    build = chosen.from_config if hasattr(chosen, "from_config") else chosen._from_config
    with quiet_transformers():
        return build(config, dtype=torch.float32, attn_implementation=plan.attn_implementation)


def model_class(plan: Plan) -> Any:
    """Return the transformers class that builds the model for the plan's task.

    Raises:
        RequirementError: if the installed transformers has no such class.
    """
    try:
        return getattr(transformers, plan.model_class)
    except AttributeError:
        raise RequirementError(
            f"The installed transformers {transformers.__version__} has no class {plan.model_class}, "
            f"which {plan.architecture} needs for {plan.task}.",
            "Upgrade transformers.",
        ) from None
