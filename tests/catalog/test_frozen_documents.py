"""What was read from a catalog cannot be changed afterwards."""

from collections.abc import Mapping
from pathlib import Path

import pydantic
import pytest

from neuron_catalog.catalog.loader import load
from neuron_catalog.schema.kinds import DOCUMENTS
from neuron_catalog.schema.words import Strict

EVERY_KEY = Path(__file__).parents[1] / "schema" / "every_key"


def parts(value):
    """Yield a document, the documents and the mappings inside it."""
    if isinstance(value, Strict):
        yield value
        for name in set(type(value).model_fields) - {"equals"}:  # holds data of any kind
            yield from parts(getattr(value, name))
    elif isinstance(value, Mapping):
        yield value
        for item in value.values():
            if isinstance(item, (Strict, tuple)):
                yield from parts(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from parts(item)
    else:
        assert not isinstance(value, (list, set)), value


@pytest.fixture(params=DOCUMENTS)
def document(request):
    return load(EVERY_KEY / f"{request.param}.yaml", DOCUMENTS[request.param]).document


def test_no_field_can_be_assigned_or_deleted(document):
    for part in parts(document):
        if isinstance(part, Strict):
            for name in type(part).model_fields:
                with pytest.raises(pydantic.ValidationError, match="frozen"):
                    setattr(part, name, None)
                with pytest.raises(pydantic.ValidationError, match="frozen"):
                    delattr(part, name)


def test_no_mapping_takes_an_item(document):
    for part in parts(document):
        if isinstance(part, Mapping):
            with pytest.raises(TypeError):
                part["new"] = None


def test_defaults_are_frozen_too(catalog):
    with pytest.raises(TypeError):
        catalog.get("bert").requires["new"] = None


def test_a_document_can_be_written_out_as_plain_data(document):
    again = type(document).model_validate(document.model_dump(mode="json"))
    assert again == document
