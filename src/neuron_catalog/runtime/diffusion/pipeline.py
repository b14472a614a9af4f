"""`NeuronPipeline`: an exported pipeline that is used like that of diffusers which it was made from."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

import torch
from pydantic import JsonValue

from neuron_catalog.composition import Composition
from neuron_catalog.errors import RequestError, UsageError
from neuron_catalog.exporting.pipeline import export_pipeline
from neuron_catalog.exporting.pipeline_request import PipelineRequest
from neuron_catalog.exporting.publish import publication
from neuron_catalog.manifest import MANIFEST_NAME
from neuron_catalog.models.adapters import make_adapters
from neuron_catalog.models.assembly import assembled
from neuron_catalog.models.sources import HubAccess
from neuron_catalog.runtime.arguments import COMPILER_ARGUMENTS
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.runtime.diffusion.requests import Exported
from neuron_catalog.runtime.diffusion.shells import shells_of
from neuron_catalog.runtime.folder import artifact_folder
from neuron_catalog.runtime.model import Scratch
from neuron_catalog.runtime.saving import upload

FIELDS = ("unet", "backend", "atol", "validation", "seed")
"""Arguments that are fields of a request by the same name."""


class NeuronPipeline:
    """An exported pipeline in place of one of diffusers.

    All code is that of diffusers but for its modules, which are compiled graphs: schedulers, guidance,
    callbacks, generators and the progress bar work as ever. What was fixed at export may be left out of a
    call, and anything else is refused before the first graph runs.
    """

    pipeline: ClassVar[str] = ""
    """The pipeline of the catalog that the class serves."""
    use: ClassVar[str] = ""
    """How it uses the parts."""
    folder: Path
    composition: Composition
    _exported: Exported
    _scratch: Scratch | None

    @classmethod
    def from_pretrained(
        cls,
        model_id: str | Path,
        *,
        export: bool = False,
        revision: str | None = None,
        token: str | None = None,
        cache_dir: str | Path | None = None,
        **more: Any,
    ) -> Self:
        """Load an exported pipeline from a folder or the hub; with `export`, make it first from a checkpoint.

        Without `export`, further arguments are components to use in place of the exported ones, such as
        `scheduler` or `safety_checker` (none is exported). With `export` they say how to export: sizes
        (`height=512`, `width=512`, `num_images_per_prompt=1`, `batch_size=1`), `unet`, `controlnet_ids`,
        `lora_model_ids`, `lora_weight_names`, `lora_adapter_names`, `lora_scales`, `backend`, `atol`,
        `validation`, and the compiler's `auto_cast`, `auto_cast_type`.

        Raises:
            UsageError: if an argument is none that is known.
            RequestError: if there is no such artifact, it is of another class, or it cannot be exported.
            VerificationError: if a file was altered, or an export is not the model that it was made from.
        """
        hub = HubAccess(
            revision=revision, token=token, cache_dir=None if cache_dir is None else str(cache_dir)
        )
        scratch = Scratch() if export else None
        if scratch:
            request = export_request(cls.pipeline, str(model_id), hub, more, scratch.path / "pipeline")
            folder, more = export_pipeline(request).folder, {}
        else:
            folder = artifact_folder(str(model_id), hub)
        return cls._of(folder, more, scratch)

    @classmethod
    def _of(cls, folder: Path, given: dict[str, Any], scratch: Scratch | None) -> Self:
        composition = Composition.read(folder)
        cls._require_served(composition, folder)
        composition.require_intact(folder)
        _require_components(cls, given)
        parts = {name: CompiledModel.load(folder / name) for name in composition.parts}
        plans = {name: part.manifest.plan for name, part in parts.items()}
        made: Self = assembled(cls, folder, shells_of(composition, parts, folder), given)
        made.folder, made.composition = folder, composition
        made._exported, made._scratch = Exported(composition, plans), scratch
        return made

    @classmethod
    def _require_served(cls, composition: Composition, folder: Path) -> None:
        """Make sure that an artifact belongs to this class.

        Raises:
            RequestError: naming the classes that it belongs to.
        """
        if composition.uses.get(cls.use) != cls.__name__:
            raise RequestError(
                f"{folder} is an exported {composition.pipeline}, which {cls.__name__} does not serve.",
                f"Load it with {' or '.join(composition.uses.values())}.",
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the pipeline of diffusers does, with the sizes of the export.

        Raises:
            RequestError: naming the argument that does not fit the export, before anything is computed.
        """
        return super().__call__(**self.completed(*args, **kwargs))  # type: ignore[misc]

    def completed(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments of a call by name, with those that were fixed at export; see `__call__`."""
        signature = inspect.signature(super().__call__)  # type: ignore[misc]
        return self._exported.completed(self, signature, *args, **kwargs)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return itself if it is there already.

        Raises:
            RequestError: if not; compiled graphs are bound to one kind of device, and to float32.
        """
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.dtype) and value != torch.float32:
                raise RequestError(
                    f"The pipeline computes in float32, not in {value}.", "Leave the type out."
                )
            if isinstance(value, (str, torch.device)) and torch.device(value).type != "cpu":
                raise RequestError(
                    f"The graphs were compiled for the CPU and cannot be moved to {value}.",
                    "Export the pipeline for that device.",
                )
        return self

    def save_pretrained(self, save_directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the artifact, byte for byte as it was exported, into a folder; return the folder.

        Raises:
            RequestError: if the folder is not empty, or cannot be written.
            VerificationError: if a file was altered since it was loaded.
        """
        target = Path(save_directory)
        self.composition.require_intact(self.folder)
        with publication(target, overwrite) as folder:
            for name in (*self.composition.all_files(self.folder), MANIFEST_NAME):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.folder / name, folder / name)
        return target

    def push_to_hub(
        self,
        save_directory: str | Path,
        repository_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
    ) -> str:
        """Save the artifact into a folder and upload that to a repository of the hub, made if need be.

        Returns the address of the commit.

        Raises:
            RequestError: if the hub refuses, or cannot be reached.
        """
        folder = self.save_pretrained(save_directory, overwrite=True)
        message = f"Upload {self.composition.pipeline}"
        return upload(folder, repository_id, message, private=private, token=token, revision=revision)

    def load_lora_weights(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: weights are fixed at export."""
        del args, kwargs
        raise _fixed("LoRA adapters are merged", "lora_model_ids")

    def load_ip_adapter(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the graphs have no inputs for it."""
        del args, kwargs
        raise RequestError("IP-Adapters are not exported.", "Use a pipeline without one.")

    def load_textual_inversion(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: weights are fixed at export."""
        del args, kwargs
        raise RequestError(
            "The embeddings of a compiled text encoder are fixed at export.",
            "Save the pipeline with the new tokens in it, and export that.",
        )


def _fixed(what: str, option: str) -> RequestError:
    return RequestError(f"{what} at export only: compiled weights are fixed.", f"Export with {option}.")


def _require_components(cls: Any, given: dict[str, Any]) -> None:
    """Refuse arguments that are no components of a pipeline.

    Raises:
        UsageError: naming them.
    """
    known = set(list(inspect.signature(cls.__init__).parameters)[1:])
    if unknown := set(given) - known:
        raise UsageError(
            f"{', '.join(sorted(unknown))} can be chosen at export only; an artifact has its sizes in it.",
            "Leave it out, or add export=True to export a checkpoint.",
        )


def export_request(
    pipeline: str, model: str, hub: HubAccess, given: dict[str, Any], out: Path
) -> PipelineRequest:
    """Return what to export.

    Raises:
        UsageError: if an argument is none that is known, and no size either.
    """
    left = dict(given)
    fields = {name: left.pop(name) for name in FIELDS if name in left}
    compiler: dict[str, JsonValue] = {name: left.pop(name) for name in COMPILER_ARGUMENTS if name in left}
    controlnets = left.pop("controlnet_ids", None) or ()
    adapters = make_adapters(
        *(
            _listed(left.pop(f"lora_{name}", None))
            for name in ("model_ids", "weight_names", "adapter_names", "scales")
        )
    )
    for name, value in left.items():
        if type(value) is not int:
            raise UsageError(
                f"from_pretrained knows no argument {name}={value!r}: what is unknown is taken for a size, "
                "and must be a whole number.",
                f"Leave {name} out; docs/diffusion.md lists all arguments.",
            )
    return PipelineRequest(
        pipeline=pipeline or None,
        model=model,
        out=out,
        axes=left,
        controlnets=tuple(_listed(controlnets) or ()),
        adapters=adapters,
        compiler=compiler,
        revision=hub.revision,
        token=hub.token,
        cache_dir=hub.cache_dir,
        **fields,
    )


def _listed(value: Any) -> Any:
    """Return several as they are, and one as a list."""
    return value if value is None or isinstance(value, (list, tuple)) else [value]
