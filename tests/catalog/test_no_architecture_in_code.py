"""A fact about one architecture, component or pipeline lives in its YAML: no Python file names one."""

import ast
from pathlib import Path
from typing import get_args

from neuron_catalog.schema.words import OptionName

SOURCES = Path(__file__).parents[2] / "src"


def docstrings(tree):
    """Yield the text nodes that stand alone as a statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def text_literals(tree):
    prose = {id(node) for node in docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def literals_naming_an_architecture(source, names):
    return [(node.lineno, node.value) for node in text_literals(ast.parse(source)) if node.value in names]


def test_no_source_file_names_an_architecture(catalog):
    found = {
        path.relative_to(SOURCES).as_posix(): lines
        for path in sorted(SOURCES.rglob("*.py"))
        if (lines := literals_naming_an_architecture(path.read_text("utf-8"), catalog.architectures))
    }
    assert found == {}


def test_a_comparison_with_a_name_would_be_found():
    source = '"""bert"""\nif model_type == "bert" or model_type in {"esm": 1}:\n    print("bert and esm")\n'
    assert literals_naming_an_architecture(source, {"bert", "esm"}) == [(2, "bert"), (2, "esm")]


RUNTIME_CLASSES = "neuron_catalog/runtime/diffusion/classes.py"
"""A class for each use of a pipeline, made from the catalog; each inherits from that of diffusers."""

SHELLS = {"neuron_catalog/runtime/diffusion/shells.py": {"AutoencoderKL", "ControlNetModel"}}
"""The file whose classes stand in pipelines of diffusers where these would → those that it must be."""


def named_in(tree):
    """Yield the line and text of every literal, name, attribute and import."""
    for node in text_literals(tree):
        yield node.lineno, node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.alias):
            yield node.lineno, node.name.rpartition(".")[2]


def classes_of_parts(catalog):
    """Return the classes of components, of pipelines, and of their schedulers."""
    uses = (use for pipeline in catalog.pipelines.values() for use in pipeline.uses.values())
    return {
        *(component.model_class for component in catalog.components.values()),
        *(name for use in uses for name in (use.pipeline_class, use.runtime_class)),
        *(pipeline.tiny.scheduler.scheduler_class for pipeline in catalog.pipelines.values()),
    }


def places_of(names, allowed):
    """Return file → line and name, wherever one of `names` stands; `allowed`: file → names it may have."""
    found = {}
    for path in sorted(SOURCES.rglob("*.py")):
        place = path.relative_to(SOURCES).as_posix()
        if place != RUNTIME_CLASSES:
            wrong = names - allowed.get(place, set())
            lines = [each for each in named_in(ast.parse(path.read_text("utf-8"))) if each[1] in wrong]
            found |= {place: lines} if lines else {}
    return found


def test_no_source_file_names_a_class_of_a_component_or_pipeline(catalog):
    assert places_of(classes_of_parts(catalog), SHELLS) == {}


def test_no_source_file_names_a_component_or_pipeline(catalog):
    """But for the words that are also folders of checkpoints, or options: `unet`, `controlnet`."""
    folders = {name for pipeline in catalog.pipelines.values() for name in pipeline.parts}
    names = {*catalog.components, *catalog.pipelines} - folders - set(get_args(OptionName))
    assert "stable-diffusion" in names
    assert places_of(names, {}) == {}


def test_an_import_and_a_comparison_of_a_class_would_be_found():
    source = "from diffusers.models import Flux as F\nisinstance(x, d.Flux)\nx == 'Flux'\n'Flux'\n"
    assert sorted(each for each in named_in(ast.parse(source)) if each[1] == "Flux") == [
        (1, "Flux"),
        (2, "Flux"),
        (3, "Flux"),
    ]
