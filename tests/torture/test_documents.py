"""Whole documents that the schemas allow are taken or refused, and written as they were read."""

import json
from contextlib import suppress

import pydantic
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from tests.torture.documents import documents
from tests.torture.fuzzing import READERS

from neuron_catalog.catalog.loader import load
from neuron_catalog.composition import Composition
from neuron_catalog.errors import NeuronCatalogError
from neuron_catalog.exporting.backends.neuron_program import ProgramRecord
from neuron_catalog.manifest import Manifest
from neuron_catalog.schema.kinds import DOCUMENTS, json_schema
from neuron_catalog.storage.cache import Entry

RECORDS = {
    "manifest": Manifest,
    "manifest of a pipeline": Composition,
    "entry of the cache": Entry,
    "graphs for Neuron": ProgramRecord,
}
often = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", RECORDS)
def test_records_are_taken_or_refused_and_written_as_they_were_read(name, tmp_path):
    taken = 0

    @often
    @given(documents(RECORDS[name].model_json_schema()))
    def take(document):
        nonlocal taken
        data = json.dumps(document).encode()
        with suppress(NeuronCatalogError):
            READERS[name](data, tmp_path)
        try:
            record = RECORDS[name].model_validate_json(data)
        except pydantic.ValidationError:
            return
        assert RECORDS[name].model_validate_json(record.model_dump_json()) == record
        taken += 1

    take()
    assert taken


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_files_of_a_catalog_are_taken_or_refused(kind, tmp_path):
    path = tmp_path / "some.yaml"

    @often
    @given(documents(json_schema(kind)))
    def take(document):
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        with suppress(NeuronCatalogError):
            load(path, DOCUMENTS[kind])

    take()
