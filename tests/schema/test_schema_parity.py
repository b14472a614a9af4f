"""The models and the JSON Schemas accept and refuse the same files, so an editor tells what `check` tells.

Two differences are known and kept out: JSON Schema takes 1.0 for an integer, and the `$` of Python's regular
expressions, which the jsonschema library uses, also matches before a final line end.
"""

import copy
import json
from pathlib import Path

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from neuron_catalog.catalog.loader import kind_of
from neuron_catalog.catalog.source import read_yaml
from neuron_catalog.schema.kinds import DOCUMENTS

ROOT = Path(__file__).parents[2]
BAD = Path(__file__).parents[1] / "bad_catalog"
EVERY_KEY = Path(__file__).parent / "every_key"
SHIPPED = sorted((ROOT / "catalog").rglob("*.yaml"))
GOOD = [*SHIPPED, *sorted(EVERY_KEY.glob("*.yaml")), *sorted(BAD.glob("surroundings/**/*.yaml"))]
REFUSED_BY_CHECKS = sorted(BAD.glob("checks/**/*.yaml"))
REFUSED_BY_FORMAT = sorted(BAD.glob("schema/*/*.yaml"))

VALIDATORS = {
    kind: Draft202012Validator(json.loads((ROOT / "schemas" / f"{kind}.schema.json").read_text("utf-8")))
    for kind in DOCUMENTS
}


def kind_at(path):
    return path.stem if path.parent == EVERY_KEY else kind_of(path)


def file_id(path):
    return str(path.relative_to(ROOT).with_suffix(""))


def model_accepts(kind, value):
    try:
        DOCUMENTS[kind].model_validate(value)
    except pydantic.ValidationError:
        return False
    return True


def verdicts(kind, value):
    return {"model": model_accepts(kind, value), "schema": VALIDATORS[kind].is_valid(value)}


@pytest.mark.parametrize("path", [*GOOD, *REFUSED_BY_CHECKS], ids=file_id)
def test_model_and_schema_accept(path):
    assert verdicts(kind_at(path), read_yaml(path).value) == {"model": True, "schema": True}


@pytest.mark.parametrize("path", REFUSED_BY_FORMAT, ids=file_id)
def test_model_and_schema_refuse(path):
    assert verdicts(path.parent.name, read_yaml(path).value) == {"model": False, "schema": False}


def keys_of(value):
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_example_of_a_kind_uses_every_key(kind):
    schema = VALIDATORS[kind].schema
    parts = [schema, *schema.get("$defs", {}).values()]
    known = {key for part in parts for key in part.get("properties", ())}
    assert known <= keys_of(read_yaml(EVERY_KEY / f"{kind}.yaml").value)


DOCUMENTS_TO_SPOIL = [(kind_at(path), read_yaml(path).value) for path in GOOD]
KEYS = [
    *(
        "task",
        "config",
        "equals",
        "above",
        "is_set",
        "option",
        "name",
        "when",
        "per_layer",
        "layers",
        "only_for",
        "for_each",
    ),
    *(
        "axis",
        "at_most",
        "shape",
        "fill",
        "pad",
        "below",
        "tasks",
        "axes",
        "inputs",
        "outputs",
        "atol",
        "summary",
        "default",
        "component",
        "parts",
        "bind",
        "uses",
        "several",
        "config",
    ),
    *("fill-mask", "batch_size", "extra", "Bad_Key", "x.y", "", " "),
]
VALUES = [
    *(None, True, False, 0, 1, -1, 7, 0.5, -0.5, 10**17),
    *("", "a", "two words", "Capital", "fill-mask", "batch_size", "_", "a.b", "output_attentions", "x" * 401),
    *([], [None], ["batch_size"], ["fill-mask"], [1], [[]], [["batch_size"]], [{}]),
    *({}, {"": 1}, {"a": None}, {"fill-mask": ["batch_size"]}, {"task": "fill-mask"}, {"per_layer": ["_"]}),
    *({"config": "a", "above": 1}, {"config": "a", "equals": None}, {"config": "a", "is_set": True}),
    *({"option": "output_attentions"}, [{"task": "fill-mask"}], {"name": "a", "when": {"task": "fill-mask"}}),
    *({"option": "controlnet"}, {"for_each": "residual", "shape": ["_"]}, {"shape": ["_"], "x": "residual"}),
    *({"per_layer": ["_"], "layers": "n", "option": "output_attentions"}, {"layers": ["_"]}, {"option": []}),
]


def places(value, container=None, step=None):
    """Yield (container, key or position) of every value inside a document."""
    if container is not None:
        yield container, step
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for inner in steps:
        yield from places(value[inner], value, inner)


def containers(value):
    if isinstance(value, (dict, list)):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from containers(inner)


def replace(draw, document):
    container, step = draw(st.sampled_from(list(places(document))))
    container[step] = copy.deepcopy(draw(st.sampled_from(VALUES)))


def delete(draw, document):
    container, step = draw(st.sampled_from(list(places(document))))
    del container[step]


def rename(draw, document):
    found = [place for place in places(document) if isinstance(place[0], dict)]
    container, step = draw(st.sampled_from(found))
    value = container.pop(step)
    container[draw(st.sampled_from(KEYS) | st.just(f"{step}s") | st.just(step[1:]))] = value


def insert(draw, document):
    container = draw(st.sampled_from(list(containers(document))))
    value = copy.deepcopy(draw(st.sampled_from(VALUES)))
    if isinstance(container, dict):
        container[draw(st.sampled_from(KEYS))] = value
    else:
        container.insert(draw(st.integers(0, len(container))), value)


def double(draw, document):
    found = [value for value in containers(document) if isinstance(value, list)]
    if found:
        chosen = draw(st.sampled_from(found))
        chosen.extend(copy.deepcopy(chosen))


def empty(draw, document):
    draw(st.sampled_from(list(containers(document)))).clear()


def move(draw, document):
    """Put a value of the document in the place of another one."""
    found = list(places(document))
    source, key = draw(st.sampled_from(found))
    target, place = draw(st.sampled_from(found))
    target[place] = copy.deepcopy(source[key])


@st.composite
def spoilt_documents(draw):
    kind, original = draw(st.sampled_from(DOCUMENTS_TO_SPOIL))
    document = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 2))):
        if document:
            draw(st.sampled_from([replace, delete, rename, insert, double, empty, move]))(draw, document)
    return kind, document


@settings(max_examples=400, deadline=None)
@given(spoilt_documents())
def test_model_and_schema_judge_spoilt_documents_alike(case):
    kind, document = case
    found = verdicts(kind, document)
    assert found["model"] == found["schema"], found


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(DOCUMENTS)), st.sampled_from(VALUES))
def test_model_and_schema_judge_whole_values_alike(kind, value):
    found = verdicts(kind, value)
    assert found["model"] == found["schema"], found
