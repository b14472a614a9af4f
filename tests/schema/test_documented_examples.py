"""The examples that the description of the format shows are what the format allows."""

import re
from pathlib import Path

import pytest
import yaml

from neuron_catalog.schema.kinds import DOCUMENTS

PAGE = Path(__file__).parents[2] / "docs" / "catalog-format.md"
EXAMPLES = [
    (found["kind"], found["text"])
    for found in re.finditer(
        r"^```yaml\n(?P<text># yaml-language-server: \S+/(?P<kind>\w+)\.schema\.json\n.*?)^```",
        PAGE.read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]


def test_a_file_of_each_kind_that_names_something_is_shown():
    assert [kind for kind, _ in EXAMPLES] == ["architecture", "component", "pipeline"]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[kind for kind, _ in EXAMPLES])
def test_an_example_is_allowed(kind, text):
    DOCUMENTS[kind].model_validate(yaml.safe_load(text))


def test_every_key_of_a_part_is_explained():
    section = PAGE.read_text("utf-8").partition("| key of a part |")[2]
    keys = DOCUMENTS["pipeline"].model_json_schema()["$defs"]["Part"]["properties"]
    assert set(keys) == set(re.findall(r"^\| `(\w+)` \|", section.partition("\n\n")[0], re.MULTILINE))
