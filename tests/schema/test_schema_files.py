"""The committed JSON Schemas are those of the models, and are schemas."""

import importlib.util
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from neuron_catalog.catalog.loader import kind_of
from neuron_catalog.schema.kinds import DOCUMENTS

ROOT = Path(__file__).parents[2]


def generator():
    spec = importlib.util.spec_from_file_location("generate_schemas", ROOT / "tools" / "generate_schemas.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_schemas_are_current():
    assert generator().stale() == []


def test_a_changed_a_missing_and_a_left_over_schema_are_stale(tmp_path, monkeypatch):
    tool = generator()
    monkeypatch.setattr(tool, "SCHEMAS", tmp_path)
    for path, text in tool.schema_texts().items():
        path.write_text(text, encoding="utf-8")
    assert tool.stale() == []
    changed, missing, left_over = (tmp_path / f"{name}.schema.json" for name in ("family", "tasks", "old"))
    changed.write_text("{}", encoding="utf-8")
    missing.unlink()
    left_over.write_text("{}", encoding="utf-8")
    assert sorted(tool.stale()) == [changed, left_over, missing]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_each_schema_is_one(kind):
    schema = json.loads((ROOT / "schemas" / f"{kind}.schema.json").read_text("utf-8"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", sorted((ROOT / "catalog").rglob("*.yaml")), ids=lambda path: path.stem)
def test_each_shipped_file_names_its_schema(path):
    first = path.read_text("utf-8").splitlines()[0]
    named = path.parent / first.removeprefix("# yaml-language-server: $schema=")
    kind = kind_of(path)
    assert named.resolve() == (ROOT / "schemas" / f"{kind}.schema.json").resolve()
