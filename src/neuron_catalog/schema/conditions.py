"""Conditions: when an input, a limit or an optional output applies.

There are exactly five forms and a list means AND. There is no or, no not and no nesting: what needs
them needs a wrapper or a second architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, JsonValue, Tag

from neuron_catalog.schema.words import DimName, OptionName, Strict, TaskName


class TaskIs(Strict):
    """Holds while exporting for this task."""

    task: TaskName


class ConfigEquals(Strict):
    """Holds if the normalized-config key has exactly this value."""

    config: DimName
    equals: JsonValue


class ConfigAbove(Strict):
    """Holds if the normalized-config key is a number above this bound."""

    config: DimName
    above: int


class ConfigIsSet(Strict):
    """Holds if the normalized-config key is (or is not) other than null."""

    config: DimName
    is_set: bool


class OptionOn(Strict):
    """Holds if the caller switched the export option on."""

    option: OptionName


TELLING_KEYS = ("task", "option", "equals", "above", "is_set")


def _form(value: Any) -> str | None:
    """Name the form by its telling key, even a misspelt one, so that a typo gives one message."""
    keys = list(value if isinstance(value, Mapping) else vars(value) if isinstance(value, Strict) else ())
    for telling in TELLING_KEYS:
        if telling in keys:
            return f"<{telling}>"
    import difflib

    meant = [word for key in keys for word in difflib.get_close_matches(key, TELLING_KEYS, n=1)]
    return f"<{meant[0]}>" if meant else None


# Tags stand in angle brackets: a message's path must not take them for keys of the file.
Condition = Annotated[
    Annotated[TaskIs, Tag("<task>")]
    | Annotated[ConfigEquals, Tag("<equals>")]
    | Annotated[ConfigAbove, Tag("<above>")]
    | Annotated[ConfigIsSet, Tag("<is_set>")]
    | Annotated[OptionOn, Tag("<option>")],
    Discriminator(
        _form,
        custom_error_type="condition_form",
        custom_error_message="should be {task: …}, {option: …}, or {config: …} with equals, above or is_set",
    ),
]


def _one_or_list(value: Any) -> str:
    return "<list>" if isinstance(value, (list, tuple)) else "<one>"


When = Annotated[
    Annotated[Condition, Tag("<one>")]
    | Annotated[tuple[Condition, ...], Field(strict=False, min_length=1), Tag("<list>")],
    Discriminator(_one_or_list),
]
"""One condition, or a list of which all must hold."""


def _option_or_list(value: Any) -> str | None:
    """Give one message about a condition that is none of an option, and not one about each of its keys."""
    form = _form(value) if isinstance(value, Mapping) else None
    return _one_or_list(value) if form in (None, "<option>") else None


OptionWhen = Annotated[
    Annotated[OptionOn, Tag("<one>")]
    | Annotated[tuple[OptionOn, ...], Field(strict=False, min_length=1), Tag("<list>")],
    Discriminator(
        _option_or_list,
        custom_error_type="option_form",
        custom_error_message="should be {option: …}, which is known before any config is read",
    ),
]
"""An option, or a list of which all must be on."""


def all_of(when: When | None) -> tuple[Condition, ...]:
    """Return the conditions of a `when` as a tuple, empty if there are none."""
    if when is None:
        return ()
    return when if isinstance(when, tuple) else (when,)
