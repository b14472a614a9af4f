"""Sort the arguments of a pipeline's `from_pretrained` into what an export takes; what remains are sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import JsonValue

from neuron_catalog.errors import UsageError
from neuron_catalog.exporting.pipeline_request import PipelineRequest
from neuron_catalog.models.adapters import make_adapters
from neuron_catalog.models.sources import HubAccess
from neuron_catalog.runtime.arguments import COMPILER_ARGUMENTS

FIELDS = ("unet", "backend", "atol", "validation", "seed")
"""Arguments that are fields of a request by the same name."""


def export_request(
    pipeline: str, model: str, hub: HubAccess, given: dict[str, Any], out: Path
) -> PipelineRequest:
    """Return what to export.

    Raises:
        UsageError: if an argument is none that is known, and no size either.
    """
    left = dict(given)
    fields = {name: _text(left.pop(name)) for name in FIELDS if name in left}
    compiler: dict[str, JsonValue] = {name: left.pop(name) for name in COMPILER_ARGUMENTS if name in left}
    controlnets = _listed(left.pop("controlnet_ids", None)) or ()
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
        controlnets=tuple(controlnets),
        adapters=adapters,
        compiler=compiler,
        revision=hub.revision,
        token=hub.token,
        cache_dir=hub.cache_dir,
        **fields,
    )


def _listed(value: Any) -> Any:
    """Return several as they are, and one as a list; paths become text."""
    if value is None:
        return None
    each = value if isinstance(value, (list, tuple)) else [value]
    return [_text(one) for one in each]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
