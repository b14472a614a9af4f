"""Every text row that the replaced exporter offers is offered here, with the same tensors and axes.

The rows were written out of its registry; a conditional input counts as selected.
"""

import csv
from pathlib import Path

import pytest

with (Path(__file__).parent / "replaced_exporter_text_rows.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))


def test_the_table_is_whole():
    assert len(ROWS) == 99
    assert len({row["model_type"] for row in ROWS}) == 18


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['model_type']}-{row['task']}")
def test_row_is_offered(catalog, row):
    architecture = catalog.get(row["model_type"])
    inputs = [use if isinstance(use, str) else use.name for use in architecture.inputs]
    offered = {
        "inputs": ";".join(inputs),
        "outputs": ";".join(architecture.tasks[row["task"]]),
        "axes": ";".join(catalog.mandatory_axes(row["model_type"], row["task"])),
    }
    assert offered == {key: row[key] for key in offered}


def test_supported_tasks_contain_every_row(catalog):
    for row in ROWS:
        assert row["task"] in catalog.supported_tasks(row["model_type"])
