"""The files that lead a contributor: each can be read, and what it names exists."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from neuron_catalog.schema.kinds import DOCUMENTS

ROOT = Path(__file__).resolve().parents[1]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GUIDES = ("README.md", "CONTRIBUTING.md", "AGENTS.md", ".github/pull_request_template.md")
GUIDES = [ROOT / name for name in GUIDES] + sorted((ROOT / "docs").glob("*.md"))


def in_json(name):
    return json.loads((ROOT / name).read_text("utf-8"))


def make_targets():
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def steps(path):
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_only_what_there_is(path):
    commands = [step["run"] for step in steps(path) if "run" in step]
    targets = {c.split()[1] for c in commands if c.startswith("make ")}
    assert targets
    assert targets <= make_targets()
    for options in (step.get("with", {}) for step in steps(path)):
        assert (ROOT / options.get("cache-dependency-path", "Makefile")).is_file()
        assert options.get("path", "build/selftest.jsonl") in (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_no_rights_but_to_read_and_take_torch_for_the_cpu(path):
    flow = yaml.safe_load(path.read_text("utf-8"))
    assert flow["permissions"] == {"contents": "read"}
    assert flow["env"]["PIP_EXTRA_INDEX_URL"] == "https://download.pytorch.org/whl/cpu"
    events = flow[True]  # YAML 1.1 reads the key `on` as true
    assert "pull_request_target" not in events
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "text of a pull request must not become a command"


def test_what_installs_in_workflows_is_constrained():
    recipe = (ROOT / "Makefile").read_text("utf-8")
    assert "--constraint constraints/tested.txt" in recipe
    assert not [c for path in WORKFLOWS for s in steps(path) if "pip install" in (c := s.get("run", ""))]


def test_issue_forms_have_what_github_asks_for():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text("utf-8"))
        assert {"name", "description", "body"} <= set(form)
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert all(field["attributes"]["label"] for field in fields)
        assert len({field["id"] for field in fields}) == len(fields) > 0


def test_editor_completes_every_kind_of_file():
    schemas = in_json(".vscode/settings.json")["yaml.schemas"]
    assert {Path(place).name.removesuffix(".schema.json") for place in schemas} == set(DOCUMENTS)
    for place, glob in schemas.items():
        assert (ROOT / place).is_file()
        files = list(ROOT.glob(glob))
        assert files
        for path in files:
            named = path.read_text("utf-8").splitlines()[0].removeprefix("# yaml-language-server: $schema=")
            assert (path.parent / named).resolve() == (ROOT / place).resolve()


def test_container_makes_the_demo_and_brings_the_recommended_extensions():
    container = in_json(".devcontainer/devcontainer.json")
    command, target = container["postCreateCommand"].split()
    assert (command, target in make_targets()) == ("make", True)
    recommended = in_json(".vscode/extensions.json")["recommendations"]
    assert container["customizations"]["vscode"]["extensions"] == recommended
    assert "redhat.vscode-yaml" in recommended


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guides_name_only_make_targets_and_files_that_exist(path):
    text = path.read_text("utf-8")
    assert set(re.findall(r"(?:`|^\$ |&& )make ([a-z-]+)", text, re.MULTILINE)) <= make_targets()
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (path.parent / link).exists(), link


def test_contributing_is_one_page():
    lines = (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 120


HOOK_IDS = [hook["id"] for hook in HOOKS]


@pytest.mark.parametrize("hook", HOOKS, ids=HOOK_IDS)
def test_hooks_pin_the_versions_that_were_tested(hook):
    no_deps, *pins = hook["additional_dependencies"]
    assert no_deps == "--no-deps"
    assert set(pins) <= set((ROOT / "constraints" / "tested.txt").read_text("utf-8").splitlines())


@pytest.mark.parametrize("hook", HOOKS, ids=HOOK_IDS)
def test_hooks_take_catalog_files_and_no_others(hook):
    taken = re.compile(hook["files"])
    for path in (ROOT / "catalog").rglob("*.yaml"):
        assert taken.search(path.relative_to(ROOT).as_posix())
        assert taken.search(path.relative_to(ROOT / "catalog").as_posix())
    for other in (
        "architectures/deep/x.yaml",
        "my-tasks.yaml",
        "evidence/esm.jsonl",
        "x.yaml",
        "families/x.yml",
    ):
        assert not taken.search(other)


ONLY_LISTED = """
import importlib.metadata, sys
listed = {name.partition("==")[0].lower().replace("-", "_") for name in sys.argv[1].split(",")}
owners = importlib.metadata.packages_distributions()
class Refuse:
    def find_spec(self, name, path=None, target=None):
        found = {each.lower().replace("-", "_") for each in owners.get(name, ())}
        if found and not found & {*listed, "neuron_catalog", "setuptools"}:
            raise ModuleNotFoundError(f"{name} is not among the dependencies of the hook", name=name)
sys.meta_path.insert(0, Refuse())
from neuron_catalog.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("hook", HOOKS, ids=HOOK_IDS)
@pytest.mark.parametrize(("change", "code"), [("", 0), ("unknown: 1\n", 3)])
def test_hooks_need_nothing_but_what_they_list(hook, change, code, catalog, tmp_path):
    path = tmp_path / "architectures" / "esm.yaml"
    path.parent.mkdir()
    path.write_text(catalog.file_of("esm").read_text("utf-8") + change, "utf-8")
    program, *arguments = hook["entry"].split()
    assert program == "neuron-catalog"
    listed = ",".join(hook["additional_dependencies"][1:])
    command = [sys.executable, "-c", ONLY_LISTED, listed, *arguments, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "dependencies of the hook" not in done.stderr
    assert done.returncode == code, done.stderr
