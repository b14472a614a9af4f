"""Lower a model to HLO, for a look at its operators and for a compiler that reads HLO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends import xla
from neuron_catalog.exporting.compiling import OnStep, prepare
from neuron_catalog.exporting.request import Resolved
from neuron_catalog.models.cures import cured


@dataclass(frozen=True)
class LoweredModel:
    """The graphs of a model in HLO, by name."""

    hlo: Mapping[str, bytes]
    """Serialized `HloModuleProto`s, which `neuronx-cc compile --framework XLA` reads."""
    observed: Mapping[str, JsonValue]
    """What was seen of each: digest, operators, memory, doubtful operators with their places."""


def lowered(resolved: Resolved, on_step: OnStep) -> LoweredModel:
    """Lower what a request was resolved to. Nothing is compiled or run.

    Raises:
        RequestError: if the weights cannot be loaded.
        CompileError: if the model cannot be lowered, with the line of its code.
    """
    prepared = prepare(resolved, on_step)
    on_step("Lowering with torch-xla")
    with cured(prepared.model, resolved.plan.cures):
        program = xla.compile(prepared.compilation(resolved.settings))
    return LoweredModel({name: each.hlo for name, each in program.lowered.items()}, program.observed)


def written(model: LoweredModel, path: Path) -> list[Path]:
    """Write the HLO of a single graph to a path, of several beside it under their names; return the files.

    Raises:
        RequestError: if they cannot be written.
    """
    single = len(model.hlo) == 1
    files = []
    for name, content in model.hlo.items():
        target = path if single else path.with_name(f"{path.stem}.{name}{path.suffix}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as error:
            raise RequestError(
                f"{target} cannot be written: {error.strerror}.", "Give another file."
            ) from error
        files.append(target)
    return files
