"""The files of facts are as strict as a catalog's, and say nothing that their readers do not know."""

from typing import Annotated

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from neuron_catalog.catalog.source import read_yaml
from neuron_catalog.sdk import compiler_errors, operators, releases
from neuron_catalog.sdk.records import Fact, keyed, path_of

NAMES = ("compiler_errors", "operators", "releases")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_read_alike_by_the_strict_reader(name):
    """So it has no duplicate key, no anchor, and nothing that versions of YAML read differently."""
    assert read_yaml(path_of(name)).value == yaml.safe_load(path_of(name).read_text("utf-8"))


def test_there_is_no_other_file():
    assert sorted(path.stem for path in path_of("releases").parent.glob("*.yaml")) == list(NAMES)


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        (compiler_errors.CompilerError, {"title": "a", "means": "b", "remedy": "c", "source": "d.rst"}),
        (operators.Mention, {"opcodes": ["add"], "note": "a", "source": "b.rst"}),
        (releases.Announcement, {"date": "2026-01-02", "sdk": "2.27.0", "says": "a", "source": "b.rst"}),
    ],
)
def test_unknown_keys_wrong_types_and_changes_are_refused(kind, entry):
    entry = {**entry, **({"code": "EOOM001"} if kind is compiler_errors.CompilerError else {})}
    fact = kind.model_validate(entry)
    with pytest.raises(ValidationError, match="extra_forbidden"):
        kind.model_validate({**entry, "sources": "d.rst"})
    for key in entry:
        with pytest.raises(ValidationError):
            kind.model_validate({**entry, key: 3})
    with pytest.raises(ValidationError, match="frozen"):
        fact.source = "elsewhere.rst"


def test_a_key_is_not_said_a_second_time():
    class Named(Fact):
        name: str

    kind = TypeAdapter(Annotated[dict[str, Named], keyed("name")])
    assert kind.validate_python({"a": {}})["a"].name == "a"
    with pytest.raises(ValidationError, match="name is the key, and nothing to say again: a"):
        kind.validate_python({"a": {"name": "b"}})
    for wrong in ([], {"a": "b"}, "a"):
        with pytest.raises(ValidationError):
            kind.validate_python(wrong)
