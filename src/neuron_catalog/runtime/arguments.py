"""Sort the arguments of `from_pretrained` into what an export takes; what remains are sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import JsonValue

from neuron_catalog.errors import UsageError
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.models.sources import HubAccess

OPTIONS = ("output_hidden_states", "output_attentions")

FIELDS = (
    "architecture",
    "dynamic_batch_size",
    "trust_remote_code",
    "allow_pickle",
    "backend",
    "atol",
    "validation",
    "seed",
)
"""Arguments that are fields of a request by the same name."""

COMPILER_ARGUMENTS = (
    "target",
    "auto_cast",
    "auto_cast_type",
    "optlevel",
    "inline_weights_to_neff",
    "num_cores",
    "tensor_parallel_size",
    "async_load",
    "lazy_load",
    "compiler_workdir",
    "compiler_timeout",
    "compiler_args",
)
"""What a compiler is asked, by the names of the command line's options."""


def export_request(model: str, task: str | None, hub: HubAccess, given: Mapping[str, Any]) -> ExportRequest:
    """Return what to export.

    Raises:
        UsageError: if an argument is none that is known, and no size either.
    """
    left = dict(given)
    fields = {name: left.pop(name) for name in FIELDS if name in left}
    options = frozenset(name for name in OPTIONS if left.pop(name, False))
    compiler: dict[str, JsonValue] = {name: left.pop(name) for name in COMPILER_ARGUMENTS if name in left}
    for name, value in left.items():
        if not _is_size(value):
            raise UsageError(
                f"from_pretrained knows no argument {name}={value!r}: what is unknown is taken for a size, "
                "and must be a whole number, or several.",
                f"Leave {name} out; docs/runtime.md lists all arguments.",
            )
    return ExportRequest(
        model=model, task=task, axes=left, options=options, compiler=compiler, **asdict(hub), **fields
    )


def _is_size(value: Any) -> bool:
    each = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return bool(each) and all(type(size) is int for size in each)


def require_none(given: Mapping[str, Any]) -> None:
    """Refuse arguments of an export where there is none.

    Raises:
        UsageError: naming them.
    """
    if given:
        raise UsageError(
            f"{', '.join(given)} can be chosen at export only; an artifact has its sizes and options in it.",
            "Leave them out, or add export=True to export a checkpoint.",
        )
