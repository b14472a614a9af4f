"""What the Neuron compiler is told: every option by name, so that no new default changes an export."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.version import Version
from pydantic import JsonValue

from neuron_catalog.errors import RequestError
from neuron_catalog.exporting.backends.protocol import Setting, Settings
from neuron_catalog.sdk.machine import this_machine
from neuron_catalog.sdk.releases import targets

AUTO_CAST = {"none": "none", "matmul": "matmult", "matmult": "matmult", "all": "all"}
"""What a caller writes → how the compiler spells it."""

VALUES: dict[str, tuple[JsonValue, ...]] = {
    "auto_cast": ("none", "matmul", "all"),
    "auto_cast_type": ("bf16", "fp16", "tf32"),
    "optlevel": (1, 2, 3),
    "inline_weights_to_neff": (True, False),
    "async_load": (True, False),
    "lazy_load": (True, False),
    "num_cores": (1,),
    "tensor_parallel_size": (1,),
}
"""Option → what it can be."""

TEXTS = ("target", "compiler_workdir", "compiler_args")
"""Options that can be any text."""

ONE_CORE = "a traced graph runs on one NeuronCore; load it onto several with cores, and they share the rows"

SWITCHES = (
    "enable_saturate_infinity",
    "enable_mixed_precision_accumulation",
    "disable_mixed_precision_accumulation",
    "enable_fast_context_switch",
    "enable_fast_loading_neuron_binaries",
)
"""Facts of the catalog that are options without a value."""

DOWNCASTS_SINCE = Version("2.27")
"""The first neuronx-cc that can be told how to treat integers of 64 bits (SDK 2.32)."""


def unsupported(option: str, value: JsonValue) -> str:
    """Return why an option cannot have a value, or an empty string."""
    if option in TEXTS:
        return _unsuitable_text(option, value)
    if option == "compiler_timeout":
        return "" if type(value) is int and value > 0 else f"{option} is a positive whole number of seconds"
    if option not in VALUES:
        return f"it knows no option {option}"
    if any(value is each or (type(value) is type(each) and value == each) for each in VALUES[option]):
        return ""
    if option in ("num_cores", "tensor_parallel_size"):
        return ONE_CORE
    return f"{option} is one of {', '.join(map(str, VALUES[option]))}"


def _unsuitable_text(option: str, value: JsonValue) -> str:
    if not isinstance(value, str):
        return f"{option} is a text"
    try:
        shlex.split(value) if option == "compiler_args" else None
    except ValueError as error:
        return f"{option} cannot be split into arguments: {error}"
    return ""


def completed(asked: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the options with a target: the one asked for, or that of the device here.

    Raises:
        RequestError: if neither is known.
    """
    target = asked.get("target") or this_machine().target
    if not target:
        raise RequestError(
            "There is no Neuron device here that tells what to compile for, and no target was given.",
            f"Add --target with one of: {', '.join(targets())}.",
        )
    if target not in targets():
        warnings.warn(
            f"{target} is no target that the documents of the Neuron SDK name "
            f"({', '.join(targets())}); it is passed to the compiler as it is.",
            stacklevel=2,
        )
    require_cast(asked)
    return {**asked, "target": target}


def require_cast(asked: Mapping[str, JsonValue]) -> None:
    """Refuse a type to cast to, where nothing is cast.

    Raises:
        RequestError: if auto_cast is none or not given, and auto_cast_type is given.
    """
    if asked.get("auto_cast_type") and asked.get("auto_cast", "none") == "none":
        raise RequestError(
            "auto_cast_type says to which type the compiler casts, and auto_cast is none.",
            "Add --auto_cast matmul or all, or leave the type out.",
        )


@dataclass(frozen=True)
class CompilerOptions:
    """The options of one compilation."""

    target: str
    asked: Mapping[str, JsonValue]
    facts: Mapping[str, Setting]

    @classmethod
    def of(cls, settings: Settings) -> CompilerOptions:
        """Take the caller's options, and the catalog's facts where the caller says nothing."""
        return cls(str(settings.asked["target"]), settings.asked, settings.facts)

    def option(self, name: str, default: JsonValue) -> JsonValue:
        """Return an option: the caller's, the catalog's or the default."""
        return self.asked.get(name, self.facts.get(name, default))

    def switch(self, name: str) -> bool:
        """Return an option that is on or off, and off by default."""
        return bool(self.option(name, False))

    @property
    def inline_weights(self) -> bool:
        """Whether weights are compiled into the graph."""
        return bool(self.option("inline_weights_to_neff", True))

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the process that compiles."""
        return {"NEURON_FUSE_SOFTMAX": "1"} if self.facts.get("fuse_softmax") else {}

    def arguments(self, compiler: str | None) -> list[str]:
        """Return the arguments of neuronx-cc, of this version; of two that contradict the last one counts."""
        return [*self._own(compiler), *shlex.split(str(self.option("compiler_args", "")))]

    def _own(self, compiler: str | None) -> Iterator[str]:
        yield from ("--target", self.target)
        yield from ("--model-type", str(self.option("model_type", "generic")))
        cast = AUTO_CAST[str(self.option("auto_cast", "none"))]
        yield from ("--auto-cast", cast)
        if cast != "none":
            yield from ("--auto-cast-type", str(self.option("auto_cast_type", "bf16")))
        yield from ("--optlevel", str(self.option("optlevel", 2)))
        if compiler and Version(compiler) >= DOWNCASTS_SINCE:
            yield from ("--native-int64", "disabled", "--implicit-integer-downcast", "all")
        for name in SWITCHES:
            if self.facts.get(name):
                yield "--" + name.replace("_", "-")
