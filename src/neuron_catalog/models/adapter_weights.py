"""What the file of a LoRA adapter says.

An adapter is pairs of small matrices. The product of a pair, times a scale, is added to the weight of a layer
(Hu et al., 2021). Files come in several forms; diffusers converts them, as the class of the pipeline demands.
diffusers and peft are imported when an adapter is read, and only then.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from neuron_catalog.digests import FileRecord, record_file
from neuron_catalog.errors import RequestError, RequirementError, first_line
from neuron_catalog.models.adapters import Adapter, find_file
from neuron_catalog.models.sources import HubAccess


@dataclass(frozen=True, kw_only=True, eq=False)
class AdapterWeights:
    """What the file of an adapter says, converted for one class of pipelines."""

    adapter: Adapter
    record: FileRecord
    """Size and digest of the file that was read."""
    pipeline_class: Any
    """The class of diffusers that converted the file."""
    parts: Mapping[str, Mapping[str, Tensor]] = field(repr=False)
    """Part of the pipeline → its matrices, under the names of diffusers, which begin with the part."""
    metadata: Mapping[str, Any] = field(repr=False)
    """What the file states of peft's LoraConfig, under names that begin with the part; often nothing."""


def read_adapter(
    adapter: Adapter, pipeline_class: Any, access: HubAccess | None = None, unet_config: Any = None
) -> AdapterWeights:
    """Read the file of an adapter, convert it, and sort its matrices by the parts of the pipeline.

    `access` opens the hub. The revision in it is the model's; of an adapter the newest one is read.
    `unet_config` is needed for Stable Diffusion XL, whose blocks other trainers number differently.

    Raises:
        RequirementError: if diffusers or peft is missing or too old.
        RequestError: if there is no such file, it is pickled or corrupt, or it holds anything else than LoRA
            matrices for parts of such a pipeline.
    """
    require_peft()
    from diffusers.loaders import StableDiffusionXLLoraLoaderMixin

    changeable = _changeable_parts(pipeline_class)
    file = find_file(adapter, access or HubAccess())
    options = {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
    if issubclass(pipeline_class, StableDiffusionXLLoraLoaderMixin):
        options["unet_config"] = unet_config
    with refusing_warnings(adapter):
        weights, *alphas, metadata = pipeline_class.lora_state_dict(
            str(file), return_alphas=True, return_lora_metadata=True, **options
        )
    if not weights:
        raise RequestError(f"The adapter {adapter} holds no weights.", "Choose another file.")
    for name in weights:
        if "lora" not in name:
            raise RequestError(
                f"The adapter {adapter} holds {name}, which is no LoRA weight.",
                "Choose a file that holds a LoRA adapter and nothing else.",
            )
    return AdapterWeights(
        adapter=adapter,
        record=record_file(file),
        pipeline_class=pipeline_class,
        parts=_by_part(adapter, _with_alphas(adapter, weights, *alphas), pipeline_class, changeable),
        metadata=metadata or {},
    )


def require_peft() -> None:
    """Make sure that what merges adapters is installed, before anything is read.

    Raises:
        RequirementError: naming the extra that brings it.
    """
    for package in ("diffusers", "peft"):
        if find_spec(package) is None:
            raise RequirementError(
                f"LoRA adapters need {package}, which is not installed.",
                'Install it: pip install "neuron-catalog[diffusion]"',
            )
    from diffusers.utils import MIN_PEFT_VERSION, USE_PEFT_BACKEND

    if not USE_PEFT_BACKEND:
        raise RequirementError(
            f"LoRA adapters need peft {MIN_PEFT_VERSION} or newer, but {version('peft')} is installed.",
            'Upgrade it: pip install --upgrade "neuron-catalog[diffusion]"',
        )


@contextmanager
def refusing_warnings(adapter: Adapter) -> Iterator[None]:
    """Refuse an adapter that diffusers or peft refuse, or only warn of.

    What they warn of they leave out: the result would not be what the adapter's author made.

    Raises:
        RequestError: with the first line of what they say.
    """
    heard = _Listener()
    log = logging.getLogger("diffusers")
    handlers, level = log.handlers[:], log.level
    log.handlers[:] = [heard]
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.filterwarnings(
                "ignore", "Already found a `peft_config`", UserWarning
            )  # several: as asked
            yield
    except SafetensorError as error:
        raise RequestError(
            f"The adapter {adapter} is corrupt: {first_line(error)}.", "Download or copy it again."
        ) from error
    except (ValueError, TypeError, LookupError, RuntimeError, RuntimeWarning) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise refusal(adapter, reason) from error
    finally:
        log.handlers[:] = handlers
        log.setLevel(level)
    if heard.messages:
        raise refusal(adapter, heard.messages[0])


class _Listener(logging.Handler):
    """Keeps what is logged, and prints nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage().strip().partition("\n")[0])


def refusal(adapter: Adapter, reason: str) -> RequestError:
    """Return the error for an adapter of which diffusers would leave something out."""
    return RequestError(
        f"diffusers {version('diffusers')} cannot take the whole adapter {adapter}: {reason}",
        "Choose another adapter, or another diffusers if this one is newer.",
    )


def _changeable_parts(pipeline_class: Any) -> tuple[str, ...]:
    """Return the parts that diffusers can load adapters into."""
    parts = getattr(pipeline_class, "_lora_loadable_modules", ())
    if not parts:
        raise RequestError(
            f"diffusers {version('diffusers')} has no LoRA adapters for {pipeline_class.__name__}.",
            "Leave out --lora_model_ids.",
        )
    return tuple(parts)


def _with_alphas(
    adapter: Adapter, weights: Mapping[str, Tensor], alphas: Mapping[str, Any] | None = None
) -> Mapping[str, Tensor]:
    """Multiply each alpha, divided by the rank, into the first matrix of its pair.

    Without alphas the scale of each pair is 1. diffusers 0.42 hands the alphas of attention layers to peft
    under names that peft does not find, and those layers get the most common alpha: in a tiny model, with
    alphas from 1 to 3 and ranks 2 and 4, 30 weights came out wrong, by up to 6.7.
    """
    if not alphas:
        return weights
    scaled = {name: matrix.float() for name, matrix in weights.items()}
    for key, alpha in alphas.items():
        pair = key.removesuffix(".alpha")
        candidates = (pair, f"{pair}.lora.down.weight", f"{pair}.lora_A.weight")
        first = next((name for name in candidates if name in scaled), None)
        if first is None:
            raise RequestError(
                f"The adapter {adapter} has an alpha for {pair}, but no matrices.",
                "Download or copy it again.",
            )
        scaled[first] = scaled[first] * (float(alpha) / scaled[first].shape[0])
    return scaled


def _by_part(
    adapter: Adapter, weights: Mapping[str, Tensor], pipeline_class: Any, changeable: Sequence[str]
) -> Mapping[str, Mapping[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, matrix in weights.items():
        parts.setdefault(name.partition(".")[0], {})[name] = matrix
    strange = sorted(set(parts) - set(changeable))
    if strange:
        raise RequestError(
            f"The adapter {adapter} was made for another pipeline: it changes {', '.join(strange)}, but "
            f"in a {pipeline_class.__name__} adapters change {', '.join(changeable)}.",
            "Choose an adapter that was trained for this checkpoint, or one like it.",
        )
    return parts
