"""`NeuronModel`: an exported model that is used like the model of transformers that it was made from."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig
from transformers.utils import ModelOutput

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.errors import RequestError, UsageError
from neuron_catalog.exporting.backends import choose
from neuron_catalog.exporting.backends.protocol import Placement
from neuron_catalog.exporting.exporter import export as export_model
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.manifest import Manifest
from neuron_catalog.models.sources import HubAccess, quiet_transformers
from neuron_catalog.runtime.answers import Answers
from neuron_catalog.runtime.arguments import OPTIONS, export_request, require_none
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.runtime.folder import artifact_folder
from neuron_catalog.runtime.foreign import manifest_of
from neuron_catalog.runtime.replacement import Weights, replace_weights
from neuron_catalog.runtime.saving import Saved, save


class NeuronModel(Saved):
    """An artifact that takes the place of a model of transformers.

    Call it with what a tokenizer or processor returns. Inputs may be smaller than the compiled sizes where
    export has shown that filling them up makes no difference; everything else is refused with the reason.
    """

    task: ClassVar[str] = ""
    """The task that the class serves; empty if any."""
    auto_class: ClassVar[str] = ""
    """The class of transformers that it stands for."""
    base_model_prefix: ClassVar[str] = ""

    def __init__(self, folder: Path, compiled: CompiledModel, config: PretrainedConfig) -> None:
        self.folder = folder
        self.compiled = compiled
        self.config = config
        self.name_or_path = self.config.name_or_path = str(folder)
        self._replaced = False
        self._scratch: Scratch | None = None
        self._answers = Answers.of(compiled.manifest.returns)

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        export: bool = False,
        task: str | None = None,
        num_workers: int = 1,
        truncate: bool = False,
        first_core: int | None = None,
        cores: int = 1,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        **more: Any,
    ) -> Self:
        """Load an artifact from a folder or the hub; with `export`, make it first from a checkpoint.

        `num_workers` runs the pieces of a dynamic batch in as many threads, `truncate` cuts longer texts. On
        a Neuron device it is loaded onto `first_core`, and with a dynamic batch onto so many `cores`, which
        share the rows. All further arguments say how to export: sizes (`batch_size=1`, `sequence_length=128`,
        or several for buckets: `sequence_length=(64, 128)`), `dynamic_batch_size`, `output_hidden_states`,
        `output_attentions`, `trust_remote_code`, `allow_pickle`, `backend`, `atol`, `validation`, and the
        compiler's `target`, `auto_cast`, `auto_cast_type`, `optlevel` and further options.

        Raises:
            UsageError: if arguments of an export are given for an artifact.
            RequestError: if there is no such model, it is of another class, or it cannot be exported.
            VerificationError: if a file was altered, or an export is not the model that it was made from.
        """
        cache = None if cache_dir is None else str(cache_dir)
        hub = HubAccess(revision=revision, token=token, cache_dir=cache)
        scratch = Scratch() if export else None
        if scratch:
            folder = _exported(cls, export_request(str(model_id), task, hub, more), scratch.path)
        else:
            require_none(more)
            folder = artifact_folder(str(model_id), hub)
        manifest = manifest_of(folder)
        chosen = cls._class_for(manifest, str(model_id))
        placement = Placement(first_core, cores) if first_core is not None or cores != 1 else None
        compiled = CompiledModel.of(
            manifest, folder, truncate=truncate, workers=num_workers, placement=placement
        )
        config = _config(folder)
        eager_class = next(iter(config.architectures or ()), chosen.__name__)
        model: Self = _bearing(cast("Any", chosen), eager_class)(folder, compiled, config)
        model._scratch = scratch
        return model

    @classmethod
    def _class_for(cls, manifest: Manifest, model_id: str) -> type[Self]:
        """Make sure that an artifact belongs to this class.

        Raises:
            RequestError: naming the class that it belongs to.
        """
        if cls.task and manifest.plan.task != cls.task:
            raise RequestError(
                f"{model_id} was exported for {manifest.plan.task}, and {cls.__name__} is for {cls.task}.",
                f"Load it with {manifest.plan.runtime_class}, or with NeuronAutoModel.",
            )
        return cls

    def __repr__(self) -> str:
        plan = self.manifest.plan
        return f"<{plan.runtime_class} of {plan.architecture} for {plan.task}, {self.manifest.backend.name}>"

    @property
    def manifest(self) -> Manifest:
        """What is known of the artifact: plans, checks, versions, digests."""
        return self.compiled.manifest

    @property
    def device(self) -> torch.device:
        """Where inputs are expected and outputs come out."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """The type of floating-point inputs and outputs."""
        return torch.float32

    @property
    def main_input_name(self) -> str:
        """The first input."""
        return self.manifest.plan.inputs[0].name

    def __call__(
        self,
        *args: Tensor,
        return_dict: bool | None = None,
        truncate: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **inputs: Tensor | None,
    ) -> Any:
        """Run the model on tensors by name, or in the order of `forward`; return what transformers returns.

        With `return_dict=False` it is a tuple.

        Raises:
            RequestError: naming the input that is missing, unknown, too large, or of another dtype, or the
                output that was not exported.
        """
        for name, asked in zip(OPTIONS, (output_hidden_states, output_attentions), strict=True):
            self._require_exported(name, asked)
        answer = self._answers(self.compiled.run({**self._named(args), **inputs}, truncate))
        return answer if return_dict in (None, True) else answer.to_tuple()

    def forward(self, *args: Tensor, **inputs: Any) -> ModelOutput:
        """Do the same as a call."""
        answer: ModelOutput = self(*args, **inputs)
        return answer

    def warm_up(self, times: int = 2) -> Self:
        """Run each graph on example inputs: the first runs after loading are several times slower."""
        self.compiled.warm_up(times)
        return self

    def replace_weights(self, weights: Weights) -> Self:
        """Take the weights of a checkpoint or state dict of the same config, and run all checks again.

        Raises:
            RequestError: if the backend compiles weights in, or they do not fit.
            VerificationError: if a check fails; then the old weights are back.
        """
        self.compiled.adopt(replace_weights(self.compiled, weights, self.config))
        self._replaced = True
        return self

    def save_pretrained(self, save_directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the artifact, byte for byte as it was exported, into a folder; return the folder.

        If weights were replaced, the graphs are written anew, with the outcomes of the checks of that day.

        Raises:
            RequestError: if the folder is not empty, or cannot be written.
            VerificationError: if a file was altered since it was loaded.
        """
        target = Path(save_directory)
        save(self.compiled, self.folder, target, overwrite=overwrite, anew=self._replaced)
        return target

    def _title(self) -> str:
        plan = self.manifest.plan
        return f"{plan.architecture} for {plan.task}"

    def eval(self) -> Self:
        """Return itself: a compiled graph knows no other mode."""
        return self

    def to(self, device: torch.device | str) -> Self:
        """Return itself if it is on the device already.

        Raises:
            RequestError: if not; a compiled graph is bound to one kind of device.
        """
        if torch.device(device).type != self.device.type:
            raise RequestError(
                f"The graph was compiled for {self.manifest.backend.name} and cannot be moved to {device}.",
                "Export it for that device.",
            )
        return self

    def can_generate(self) -> bool:
        """Whether it has a `generate` method."""
        return False

    def _named(self, args: tuple[Tensor, ...]) -> dict[str, Tensor]:
        names = [tensor.name for tensor in self.manifest.plan.inputs]
        if len(args) > len(names):
            raise UsageError(
                f"The model takes {len(names)} inputs, {len(args)} were given.",
                f"They are: {', '.join(names)}.",
            )
        return dict(zip(names, args, strict=False))

    def _require_exported(self, option: str, asked: bool | None) -> None:
        if asked and option not in self.manifest.plan.options:
            raise RequestError(
                f"The artifact was exported without {option}.", f"Export it again with {option}=True."
            )


class Scratch:
    """A folder that is there as long as this object: where an export lies that is not saved yet."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="neuron-catalog-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _exported(cls: type[NeuronModel], request: ExportRequest, place: Path) -> Path:
    """Export into a folder below a place, and return it.

    Raises:
        UsageError: if another task is asked for than that of the class.
    """
    if cls.task and request.task and load_catalog().task_name(request.task) != cls.task:
        raise UsageError(f"{cls.__name__} is for {cls.task}, not for {request.task}.", "Leave the task out.")
    name, backend = choose(request.backend)
    if reason := backend.unable_to_run():
        raise RequestError(
            f"What the backend {name} compiles cannot be used here: {reason}.",
            "Export it into a folder with `neuron-catalog export`, and load that on another machine.",
        )
    task = request.task or cls.task or None
    return export_model(replace(request, task=task, out=place / "model")).folder


@cache
def _bearing(cls: Any, name: str) -> Any:
    """Return a subclass of another name.

    transformers' pipelines tell what a model can do by the name of its class, and warn of one new to them.
    """
    own = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.{name}", "__doc__": cls.__doc__}
    return type(name, (cls,), own)


def _config(folder: Path) -> PretrainedConfig:
    """Read config.json; a model type that transformers does not know has remote code, which is not run."""
    raw, _ = PretrainedConfig.get_config_dict(folder)
    reader = AutoConfig if raw.get("model_type") in CONFIG_MAPPING else PretrainedConfig
    with quiet_transformers():
        return reader.from_pretrained(folder)
