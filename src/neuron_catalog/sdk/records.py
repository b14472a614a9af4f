"""Read the YAML files beside this module into frozen objects, and refuse what they may not say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

T = TypeVar("T")
Items = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, frozen as a tuple."""

Text = Annotated[str, Field(min_length=1)]
Source = Annotated[str, Field(pattern=r"^[\w./-]+$")]
"""A path in the repository aws-neuron/aws-neuron-sdk, or an address without its scheme."""


class Fact(BaseModel):
    """Base of everything that the files say: strict types, frozen, no unknown keys."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


def keyed(field: str) -> BeforeValidator:
    """Return what gives each entry of a mapping its key, as the value of a field."""

    def with_keys(entries: Any) -> Any:
        if not isinstance(entries, dict) or not all(isinstance(each, dict) for each in entries.values()):
            return entries  # which is refused for its type
        if said := [key for key, each in entries.items() if field in each]:
            raise ValueError(f"{field} is the key, and nothing to say again: {', '.join(said)}")
        return {key: {**each, field: key} for key, each in entries.items()}

    return BeforeValidator(with_keys)


def path_of(name: str) -> Path:
    """Return the path of a file of facts."""
    return Path(__file__).with_name(f"{name}.yaml")


def read_facts(name: str, kind: TypeAdapter[T]) -> T:
    """Read a file of facts as an object of a kind.

    Raises:
        pydantic.ValidationError: if it says what the kind does not allow; a test reads each file.
    """
    said = yaml.load(path_of(name).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return kind.validate_python(said)
