"""`NeuronPipeline`: an exported pipeline that is used like that of diffusers which it was made from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self, cast

from neuron_catalog.catalog.index import load_catalog
from neuron_catalog.composition import Composition
from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.pipeline import export_resolved_pipeline
from neuron_catalog.exporting.pipeline_request import resolve_pipeline
from neuron_catalog.models.assembly import assembled
from neuron_catalog.models.sources import HubAccess
from neuron_catalog.runtime.arguments import require_none
from neuron_catalog.runtime.base import CompiledModel
from neuron_catalog.runtime.diffusion.exports import FIELDS, export_request
from neuron_catalog.runtime.diffusion.requests import Exported
from neuron_catalog.runtime.diffusion.shells import require_here, shells_of
from neuron_catalog.runtime.folder import artifact_folder
from neuron_catalog.runtime.model import Scratch
from neuron_catalog.runtime.saving import Saved, copy_artifact
from neuron_catalog.storage.publish import publication


class NeuronPipeline(Saved):
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
    _shells: Mapping[str, Any]
    """All exported modules, those of other uses too."""
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

        Further arguments are components to use in place of the exported ones, such as `scheduler` or
        `safety_checker` (none is exported). With `export` the others say how to export: sizes
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
        given = {name: more.pop(name) for name in _components(cls) if name in more and name not in FIELDS}
        scratch = Scratch() if export else None
        if scratch:
            request = export_request(cls.pipeline, str(model_id), hub, more, scratch.path / "pipeline")
            resolved = resolve_pipeline(request, load_catalog())
            cls._require_served(cls.pipeline, resolved.plan.uses, f"{model_id}")
            folder = export_resolved_pipeline(resolved).folder
        else:
            given |= {name: more.pop(name) for name in FIELDS if name in more and name in _components(cls)}
            require_none(more)
            folder = artifact_folder(str(model_id), hub)
        return cls._of(folder, given, scratch)

    @classmethod
    def _of(cls, folder: Path, given: dict[str, Any], scratch: Scratch | None) -> Self:
        composition = Composition.read(folder)
        cls._require_served(composition.pipeline, composition.uses, f"{folder}")
        composition.require_intact(folder)
        parts = {name: CompiledModel.load(folder / name) for name in composition.parts}
        plans = {name: part.manifest.plan for name, part in parts.items()}
        modules = shells_of(composition, parts, folder)
        return cls._made_of(modules, given, folder, Exported(composition, plans), scratch)

    @classmethod
    def from_pipe(cls, pipeline: Any, **given: Any) -> Self:
        """Use the parts of a loaded pipeline in another way; nothing is loaded twice.

        Raises:
            RequestError: if it is not an exported one, or lacks a part.
            UsageError: if an argument is no component.
        """
        if not isinstance(pipeline, NeuronPipeline):
            raise RequestError(
                f"{type(pipeline).__name__} is no exported pipeline.",
                "Save it, and export that: from_pretrained(folder, export=True).",
            )
        composition = pipeline.composition
        cls._require_served(composition.pipeline, composition.uses, f"{pipeline.folder}")
        require_none({name: value for name, value in given.items() if name not in _components(cls)})
        chosen = {name: each for name, each in cast("Any", pipeline).components.items() if each is not None}
        modules = {**pipeline._shells, **chosen}
        return cls._made_of(modules, given, pipeline.folder, pipeline._exported, pipeline._scratch)

    @classmethod
    def _made_of(
        cls,
        modules: Mapping[str, Any],
        given: Mapping[str, Any],
        folder: Path,
        exported: Exported,
        scratch: Scratch | None,
    ) -> Self:
        made: Self = assembled(cls, folder, modules, given)
        made.folder, made.composition = folder, exported.composition
        made._exported, made._scratch = exported, scratch
        made._shells = modules
        return made

    @classmethod
    def _require_served(cls, pipeline: str, uses: Mapping[str, str], what: str) -> None:
        """Make sure that an artifact belongs to this class, or that one to be made will.

        Raises:
            RequestError: naming the classes that it belongs to.
        """
        if uses.get(cls.use) == cls.__name__:
            return
        load = f"Load it with {' or '.join(uses.values())}"
        if cls.pipeline == pipeline:
            raise RequestError(
                f"{cls.__name__} needs a part that {what} is exported without: {cls.use}.",
                f"{load}, or export with {cls.use}_ids.",
            )
        raise RequestError(
            f"{what} is an exported {pipeline}, which {cls.__name__} does not serve.", f"{load}."
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
        require_here("The pipeline", (*args, *kwargs.values()))
        return self

    def save_pretrained(self, save_directory: str | Path, *, overwrite: bool = False) -> Path:
        """Write the artifact, byte for byte as it was exported, into a folder; return the folder.

        Raises:
            RequestError: if the folder is not empty, or cannot be written.
            VerificationError: if a file was altered since it was loaded.
        """
        target = Path(save_directory)
        with publication(target, overwrite) as folder:
            copy_artifact(self.folder, folder)
        return target

    def _title(self) -> str:
        return self.composition.pipeline

    @classmethod
    def from_single_file(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: an artifact is a folder."""
        del args, kwargs
        raise RequestError(
            "An exported pipeline is a folder, not a single file.",
            f"Load the file with diffusers, save_pretrained it, and give that to {cls.__name__}"
            ".from_pretrained(folder, export=True).",
        )

    def enable_model_cpu_offload(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing, as all below that only say where memory is: compiled graphs stay where they are."""
        del args, kwargs

    enable_sequential_cpu_offload = enable_group_offload = enable_model_cpu_offload
    enable_xformers_memory_efficient_attention = enable_model_cpu_offload

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


def _components(cls: Any) -> list[str]:
    """Return what a pipeline is put together from."""
    return list(inspect.signature(cls.__init__).parameters)[1:]
