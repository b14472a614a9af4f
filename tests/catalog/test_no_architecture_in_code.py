"""A fact about one architecture lives in its YAML: no Python file names one."""

import ast
from pathlib import Path

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
