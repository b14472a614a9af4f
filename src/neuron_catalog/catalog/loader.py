"""Turn a catalog file into a frozen document, or into findings a contributor can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pydantic

from neuron_catalog.catalog.source import YamlFile, YamlPath, read_yaml
from neuron_catalog.errors import CatalogError, Finding, nearest
from neuron_catalog.schema.kinds import DOCUMENTS, json_schema
from neuron_catalog.schema.words import SPELLINGS, Strict

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

D = TypeVar("D", bound=Strict)


@dataclass(frozen=True)
class Entry(Generic[D]):
    """A document together with the file it came from, for messages that point."""

    document: D
    source: YamlFile


KINDS = {
    "architectures": "architecture",
    "families": "family",
    "components": "component",
    "pipelines": "pipeline",
}
"""Folder of a catalog → the kind of the files in it."""


def kind_of(path: Path) -> str:
    """Tell the kind of a catalog file from its place.

    Raises:
        CatalogError: for a file that is none of a catalog's.
    """
    if path.name in ("tasks.yaml", "normalized_configs.yaml"):
        return path.stem
    folder = path.absolute().parent.name
    if path.suffix == ".yaml" and folder in KINDS:
        return KINDS[folder]
    message = "not a catalog file"
    folders = ", ".join(f"{folder}/*.yaml" for folder in KINDS)
    fix = f"a catalog has {folders}, tasks.yaml and normalized_configs.yaml"
    raise CatalogError([Finding(path, 1, 1, "NC200", message, fix)])


def load(path: Path, model: type[D]) -> Entry[D]:
    """Read `path` and hold it to `model`.

    Raises:
        CatalogError: with every finding of the file.
    """
    source = read_yaml(path)
    try:
        return Entry(model.model_validate(source.value), source)
    except pydantic.ValidationError as error:
        raise CatalogError(_findings(source, error.errors(include_url=False), model)) from None


def _findings(source: YamlFile, errors: list[ErrorDetails], model: type[Strict]) -> list[Finding]:
    placed = [(_path_in(source.value, error["loc"]), error) for error in errors]
    extras = {where for where, error in placed if error["type"] == "extra_forbidden"}
    findings = []
    refused: dict[YamlPath, list[ErrorDetails]] = {}
    for where, error in placed:
        if error["type"] == "missing":
            parent, name = where, str(error["loc"][-1])
            if any(e[:-1] == parent and nearest(str(e[-1]), [name]).startswith("did") for e in extras):
                continue  # the misspelt key is reported already
            findings.append(source.finding(parent, "NC201", f"the key {name!r} is missing here"))
        elif error["type"] == "extra_forbidden":
            forms = _forms_at(model, where[:-1])
            alone = "it cannot stand beside the other keys here"
            known = any(where[-1] in form.get("properties", ()) for form in forms)
            fix = alone if known else nearest(str(where[-1]), _keys_beside(forms, source.value, where[:-1]))
            findings.append(source.finding(where, "NC202", f"unknown key {where[-1]!r}", fix))
        elif not any(other[: len(where)] == where != other for other, _ in placed):
            refused.setdefault(where, []).append(error)  # else it is refused only because a part of it is
    for where, alternatives in refused.items():
        shown = ".".join(map(str, where)) or "the document"
        findings.append(source.finding(where, "NC203", f"{shown}: {_sentence(alternatives)}"))
    return findings


TYPES = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}
"""Kind of pydantic error → the type that a value should have, in the words of YAML and not of Python."""


def _sentence(alternatives: list[ErrorDetails]) -> str:
    """Say what a value should be; one that may be of several types has an error for each."""
    fitting = [error for error in alternatives if error["type"] not in TYPES]
    if not fitting:
        text = "should be " + " or ".join(TYPES[error["type"]] for error in alternatives)
    elif fitting[0]["type"] == "too_short":
        return "should not be empty"
    elif fitting[0]["type"] == "string_pattern_mismatch":
        text = f"should be {SPELLINGS[fitting[0]['ctx']['pattern']]}"
    else:
        text = fitting[0]["msg"].replace("Input should", "should").replace("String should", "should")
    given = alternatives[0]["input"]
    if isinstance(given, str):
        return f"{text}, not {given!r}" if len(given) <= 40 else text
    return text if isinstance(given, (dict, list)) else f"{text}, not {json.dumps(given)}"


def _path_in(value: Any, loc: tuple[str | int, ...]) -> YamlPath:
    """Drop from a pydantic location what is no key of the file: the tags of unions, missing keys."""
    where: list[str | int] = []
    for step in loc:
        in_mapping = isinstance(value, Mapping) and step in value
        if in_mapping or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            value = value[step]
            where.append(step)
    return tuple(where)


@cache
def _schema(model: type[Strict]) -> dict[str, Any]:
    return json_schema(next(kind for kind, known in DOCUMENTS.items() if known is model))


def _keys_beside(forms: list[dict[str, Any]], value: Any, where: YamlPath) -> set[str]:
    """Return the keys of the mapping at `where`: of all forms that it may have, or of those that it has."""
    for step in where:
        value = value[step]
    keyed = [form for form in forms if "properties" in form]
    begun = [form for form in keyed if set(form.get("required", ())) <= set(value)]
    return {key for form in begun or keyed for key in form["properties"]}


def _forms_at(model: type[Strict], where: YamlPath) -> list[dict[str, Any]]:
    """Return the schemas that the format allows for the mapping at `where`: several if it is a union."""
    root = _schema(model)
    level = _branches(root, root)
    for step in where:
        level = [branch for parent in level for branch in _children(parent, step, root)]
    return level


def _branches(schema: Any, root: Any) -> list[dict[str, Any]]:
    """Follow references and list the alternatives of a union."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    unions = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    return [b for part in unions for b in _branches(part, root)] if unions else [schema]


def _children(schema: dict[str, Any], step: str | int, root: Any) -> list[dict[str, Any]]:
    if isinstance(step, int):
        found = [schema["items"]] if "items" in schema else []
    elif step in schema.get("properties", {}):
        found = [schema["properties"][step]]
    else:
        rest = schema.get("additionalProperties")
        found = [*schema.get("patternProperties", {}).values(), *([rest] if isinstance(rest, dict) else [])]
    return [branch for child in found for branch in _branches(child, root)]
