"""Reading and listing a catalog works where neither torch nor transformers can be imported."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import contextlib, io, json, sys

for name in ("torch", "transformers", "safetensors", "huggingface_hub"):
    sys.modules[name] = None  # importing it raises ImportError

import neuron_catalog
from neuron_catalog.cli.main import main

catalog = neuron_catalog.load_catalog()
found = {"names": catalog.architectures, "findings": len(catalog.check()), "commands": {}}
for line in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line.split())
    found["commands"][line] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(found))
"""

LINES = {
    "list": "esm",
    "list --json": '"family": "text-encoder"',
    "list-tasks": "fill-mask",
    "list-tasks esm": "batch_size, sequence_length",
    "show esm": "checkpoint: facebook/esm2_t6_8M_UR50D",
    "check": "checked: no problems.",
    "explain EVRF031": "--sequence_length",
    "--help": "Usage:",
    "export --help": "--task",
    "--version": "neuron-catalog 0",
}
"""Command line → a part of what it prints."""


@pytest.fixture(scope="module")
def found():
    environment = {key: value for key, value in os.environ.items() if key != "NEURON_CATALOG_PATH"}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(list(LINES))],
        env=environment | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_the_catalog_is_read_and_checked(found):
    assert "esm" in found["names"]
    assert found["findings"] == 0


@pytest.mark.parametrize(("line", "part"), LINES.items())
def test_command_works(found, line, part):
    code, out, err = found["commands"][line]
    assert (code, err) == (0, "")
    assert part in out
