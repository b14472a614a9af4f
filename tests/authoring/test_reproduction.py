"""Take an architecture's file away, and `new` writes one that passes, for nine of ten of them.

The full run is recorded in tools/sweep.jsonl; each day another sample of it is repeated here.
"""

import datetime
import json
from pathlib import Path

import pytest

from neuron_catalog.authoring.author import author

SWEEP = Path(__file__).parents[2] / "tools" / "sweep.jsonl"
SAMPLE = 5


def outcomes():
    _, *lines = SWEEP.read_text(encoding="utf-8").splitlines()
    return {found["model_type"]: found for found in map(json.loads, lines)}


def reproduced(catalog):
    own = [name for name in catalog.architectures if catalog.get(name).library == "transformers"]
    found = outcomes()
    return own, [name for name in own if "tasks" in found.get(name, {})]


def test_nine_of_ten_architectures_are_written_without_an_edit(catalog):
    own, again = reproduced(catalog)
    assert len(again) >= 0.9 * len(own)


def test_every_model_type_that_is_not_in_the_catalog_has_a_reason(catalog):
    missing = [found for name, found in outcomes().items() if name not in catalog.architectures]
    assert [found["model_type"] for found in missing if not found.get("reason")] == []


@pytest.mark.slow
def test_what_was_recorded_holds_today(catalog):
    _, again = reproduced(catalog)
    first = datetime.date.today().toordinal() * SAMPLE
    for name in (again[(first + number) % len(again)] for number in range(SAMPLE)):
        done = author(name, catalog)
        assert done.passed, name
        assert set(done.draft.tasks) >= set(outcomes()[name]["tasks"]), name
