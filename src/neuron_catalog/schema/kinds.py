"""The kinds of YAML file: those of a catalog, and sweeps; by name, and as JSON Schemas."""

from __future__ import annotations

from pydantic import JsonValue

from neuron_catalog.schema.components import Component, Pipeline
from neuron_catalog.schema.documents import Architecture, Family, NormalizedConfigsFile, TasksFile
from neuron_catalog.schema.sweeps import Sweep
from neuron_catalog.schema.words import Strict

DOCUMENTS: dict[str, type[Strict]] = {
    "architecture": Architecture,
    "component": Component,
    "family": Family,
    "pipeline": Pipeline,
    "tasks": TasksFile,
    "normalized_configs": NormalizedConfigsFile,
    "sweep": Sweep,
}
"""Kind of file → its model. The schema of each kind is `schemas/<kind>.schema.json`."""


def json_schema(kind: str) -> dict[str, JsonValue]:
    """Return the JSON Schema of a kind of file; it accepts exactly what the model accepts."""
    schema = DOCUMENTS[kind].model_json_schema()
    _close(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _close(schema: JsonValue) -> None:
    """Refuse keys that match no pattern: pydantic checks them, but its generated schema forgets to say so."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)
