"""A remembered answer is printed as one that is worked out, byte for byte, and needs no heavy package."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from neuron_catalog.catalog import index
from neuron_catalog.catalog.folders import shipped_folder

COMMANDS = (
    "list",
    "list --json",
    "list-tasks",
    "list-tasks --json",
    "list-tasks esm",
    "list-tasks esm --json",
    "list-tasks ems",
    "check",
    "check --json",
)
HEAVY = ("pydantic", "yaml", "torch", "transformers", "jinja2", "rich", "neuron_catalog.cli.building")
PROGRAM = """
import sys
from neuron_catalog.cli.main import main
code = main(sys.argv[2:])
loaded = [name for name in sys.argv[1].split() if name in sys.modules]
sys.exit(f"it loads {loaded}" if loaded else code)
"""


def environment(cache):
    rest = {name: value for name, value in os.environ.items() if name != "NEURON_CATALOG_PATH"}
    return rest | {"XDG_CACHE_HOME": str(cache)}


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
@pytest.mark.parametrize("command", COMMANDS)
def test_cold_warm_and_without_cache_print_the_same(command, wrong, run, tmp_path, monkeypatch):
    architectures = tmp_path / "mine" / "architectures"
    architectures.mkdir(parents=True)
    text = (shipped_folder() / "architectures/esm.yaml").read_text()
    (architectures / "esm.yaml").write_text(text.replace("summary: ", "summary: My "))
    if wrong:
        (architectures / "bert.yaml").write_text("architecture: bert\nfamily: none\n")
    line = ("--catalog", "mine", *command.split())
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    without = run(*line)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cold, warm = run(*line), run(*line)
    assert cold == warm == without
    if not wrong and command != "list-tasks ems":
        monkeypatch.setattr(index.Catalog, "__init__", None)
        assert run(*line) == without


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "list-tasks ems"])
def test_warm_command_loads_no_heavy_package(command, tmp_path):
    line = [sys.executable, "-c", PROGRAM, " ".join(HEAVY), *command.split()]
    cold, warm = (
        subprocess.run(line, capture_output=True, text=True, check=False, env=environment(tmp_path))
        for _ in range(2)
    )
    assert (cold.returncode, "pydantic" in cold.stderr) == (1, True)
    assert (warm.returncode, warm.stderr, warm.stdout) == (0, "", cold.stdout)


def test_processes_that_write_at_once_leave_a_whole_cache(tmp_path):
    shutil.copytree(shipped_folder(), tmp_path / "mine")
    line = [sys.executable, "-m", "neuron_catalog", "--catalog", str(tmp_path / "mine"), "list", "--json"]
    env = environment(tmp_path / "cache")
    started = [subprocess.Popen(line, env=env, stdout=subprocess.PIPE) for _ in range(4)]
    printed = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0] * 4
    (out,) = printed
    assert "esm" in json.loads(out)
    kept = {path.suffix for path in (tmp_path / "cache/neuron-catalog").iterdir()}
    assert kept == {".compositions", ".outlines", ".tiers"}
    heavy = [sys.executable, "-c", PROGRAM, "pydantic yaml", *line[3:]]
    assert subprocess.run(heavy, env=env, capture_output=True, check=True).stdout == out
