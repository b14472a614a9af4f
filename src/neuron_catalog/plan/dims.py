"""Names of sizes turned into numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from neuron_catalog.errors import RequestError
from neuron_catalog.plan.formulas import FORMULAS
from neuron_catalog.plan.latents import SERIES_FORMULAS
from neuron_catalog.schema.words import DERIVED_DIMS, SERIES

MISSING = object()


@dataclass(frozen=True)
class Dims:
    """Looks sizes up: chosen axes first, then derived dims, then the Hugging Face config.

    `config` is anything with the attributes of a Hugging Face config; `aliases` maps canonical names to
    dotted paths in it.
    """

    axes: Mapping[str, int]
    aliases: Mapping[str, str]
    config: Any

    def value(self, key: str) -> Any:
        """Return the config value behind a canonical name.

        Raises:
            RequestError: if the config has no such attribute.
        """
        path = self.aliases.get(key, key)
        value = self.config
        for step in path.split("."):
            value = value.get(step, MISSING) if isinstance(value, dict) else getattr(value, step, MISSING)
            if value is MISSING:
                raise RequestError(
                    f"The model's config has no {path!r}, which is needed for {key}.",
                    "Check the config.json, or the normalized_config that the architecture names.",
                )
        return value

    def knows(self, name: str) -> bool:
        """Tell whether the config gives a size."""
        try:
            return self.size(name) > 0
        except RequestError:
            return False

    def size(self, name: str) -> int:
        """Return the number behind a dim.

        Raises:
            RequestError: if it is not in the config, or not an integer there.
        """
        if name in self.axes:
            return self.axes[name]
        if name in FORMULAS:
            parts = [self._part(part) for part in DERIVED_DIMS[name]]
            try:
                value = FORMULAS[name](*parts)
            except TypeError:  # a part is null or text: shown as it is
                value = parts
        else:
            value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise RequestError(
                f"{self.aliases.get(name, name)!r} is {value!r} in the model's config; "
                f"an integer is needed for {name}.",
                "Set it in the config.json.",
            )
        return value

    def members(self, series: str) -> Iterator[Dims]:
        """Yield these dims for each member of a series, with its own sizes.

        Raises:
            RequestError: if a size that they follow from is not in the config.
        """
        parts, own = SERIES[series]
        for sizes in SERIES_FORMULAS[series](*map(self._part, parts)):
            yield replace(self, axes={**self.axes, **dict(zip(own, sizes, strict=True))})

    def _part(self, name: str) -> Any:
        """Return what a formula is computed from: a size that was chosen, or what the config says."""
        return self.axes.get(name) or self.value(name)

    def first_set(self, keys: tuple[str, ...]) -> int:
        """Return the first of `keys` that the config sets; of a list of ids, its first.

        Chat models list several ids that end a text. Any of them may stand under a mask.

        Raises:
            RequestError: if all are null.
        """
        for key in keys:
            try:
                value = self.value(key)
            except RequestError:
                continue  # not every config has the key
            if isinstance(value, (list, tuple)) and value and all(type(each) is int for each in value):
                return int(value[0])
            if value is not None:
                return self.size(key)
        paths = " and ".join(repr(self.aliases.get(key, key)) for key in keys)
        raise RequestError(
            f"The model's config leaves {paths} null, so there is no id to pad with.",
            "Set pad_token_id in the config.json to the id of the tokenizer's padding token.",
        )
