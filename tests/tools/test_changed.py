"""Which architectures a change concerns, so that what is tested on a change is neither all nor too little."""

import datetime
import importlib.util
import subprocess
from pathlib import Path

import pytest

from neuron_catalog.catalog.index import Catalog

ROOT = Path(__file__).parents[2]
PART = (3, 10)


def load_tool():
    spec = importlib.util.spec_from_file_location("changed", ROOT / "tools" / "changed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def concerned(catalog, *paths):
    return tool.concerned(catalog, paths, PART)


def test_a_changed_architecture_and_its_evidence_concern_that_architecture(catalog):
    assert concerned(catalog, "catalog/architectures/esm.yaml") == ("esm",)
    assert concerned(catalog, "catalog/evidence/esm.jsonl", "catalog/architectures/bert.yaml") == (
        "bert",
        "esm",
    )


def test_a_changed_family_concerns_all_of_its_architectures(catalog):
    names = concerned(catalog, "catalog/families/image-encoder.yaml")
    assert names == tuple(n for n in catalog.architectures if catalog.get(n).family == "image-encoder")
    assert len(names) > 10
    both = concerned(catalog, "catalog/families/image-encoder.yaml", "catalog/architectures/esm.yaml")
    assert both == tuple(sorted({*names, "esm"}))


@pytest.mark.parametrize(
    "path",
    [
        "catalog/tasks.yaml",
        "catalog/normalized_configs.yaml",
        "src/neuron_catalog/plan/dims.py",
        "constraints/tested.txt",
        "pyproject.toml",
        "catalog/something-new/esm.yaml",
        "catalog/architectures/nested/esm.yaml",
    ],
)
def test_what_concerns_everything_is_tried_on_the_smoke_set(path, catalog):
    assert concerned(catalog, path) == tool.smoke_set(catalog, PART)


@pytest.mark.parametrize(
    "path",
    ["README.md", "docs/supported/README.md", "tests/conftest.py", "tools/changed.py", "schemas/x.json"],
)
def test_what_changes_no_export_concerns_none(path, catalog):
    assert concerned(catalog, path) == ()
    assert concerned(catalog, path, "catalog/architectures/esm.yaml") == ("esm",)


def test_a_changed_component_or_its_family_concerns_its_pipelines(catalog):
    assert concerned(catalog, "catalog/components/flux-transformer-2d.yaml") == (
        "flux",
        "flux-transformer-2d",
    )
    names = concerned(catalog, "catalog/families/autoencoder.yaml")
    assert names == tuple(sorted(["vae-decoder", "vae-encoder", *catalog.pipelines]))
    assert concerned(catalog, "catalog/pipelines/pixart.yaml", "catalog/evidence/unet.jsonl") == (
        "latent-consistency",
        "pixart",
        "stable-diffusion",
        "stable-diffusion-xl",
        "unet",
    )


def test_what_was_deleted_concerns_none(catalog):
    gone = "catalog/architectures/gone.yaml", "catalog/evidence/gone.jsonl", "catalog/families/gone.yaml"
    assert concerned(catalog, *gone) == ()


def test_the_parts_are_the_catalog_each_name_in_one(catalog):
    parts = [tool.part_of(catalog.architectures, (k, 10)) for k in range(1, 11)]
    assert all(parts)
    assert sorted(name for part in parts for name in part) == list(catalog.architectures)
    assert tool.part_of(catalog.architectures, (1, 1)) == catalog.architectures


def test_a_name_stays_in_its_part_whatever_else_there_is(catalog):
    for name in ("bert", "esm", "whisper"):
        (part,) = [k for k in range(1, 11) if name in tool.part_of(catalog.architectures, (k, 10))]
        assert tool.part_of([name], (part, 10)) == (name,)


def test_ten_days_in_a_row_are_all_parts():
    first = datetime.date(2026, 2, 25)
    days = [first + datetime.timedelta(days=n) for n in range(10)]
    assert sorted(tool.part_of_day(day) for day in days) == [(k, 10) for k in range(1, 11)]
    assert tool.part_of_day(first) == tool.part_of_day(first)


def test_the_smoke_set_has_each_family_wrapper_and_cure_and_a_tenth(catalog):
    names = tool.smoke_set(catalog, PART)
    assert set(tool.part_of(catalog.names, PART)) <= set(names)
    selections = {*catalog.architectures, *catalog.components}
    kinds = {tool.kind(catalog, name) for name in names if name in selections}
    assert kinds == {tool.kind(catalog, name) for name in selections}
    assert list(names) == sorted(set(names))


@pytest.fixture
def called(monkeypatch, capsys):
    """Call the tool as a command; returns exit code, printed names and what it complains about."""

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["changed.py", *arguments])
        try:
            code = tool.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out.split(), err

    return call


def test_the_command_prints_names(called, catalog):
    assert called("catalog/architectures/esm.yaml", "README.md") == (0, ["esm"], "")
    assert called("README.md") == (0, [], "The change concerns no architecture.\n")
    assert called("--smoke", "--part", "3/10")[1] == list(tool.smoke_set(catalog, PART))
    assert called("--smoke")[1] == list(tool.smoke_set(catalog, tool.part_of_day(tool.today())))


@pytest.mark.parametrize("part", ["0/10", "11/10", "3", "a/b", "3/0"])
def test_a_part_that_there_is_not(part, called):
    code, out, err = called("--smoke", "--part", part)
    assert (code, out, "is no part" in err) == (2, [], True)


def test_nothing_said_is_a_mistake_and_not_nothing_to_do(called):
    code, out, err = called()
    assert (code, out, "--base" in err) == (2, [], True)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A clone with a branch on top of `base`; returns a function that runs git in it."""

    def git(*arguments):
        config = "-c", "user.name=x", "-c", "user.email=x@example.org"
        command = ["git", *config, *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    (tmp_path / "catalog" / "architectures").mkdir(parents=True)
    (tmp_path / "catalog" / "architectures" / "bert.yaml").write_text("old\n" * 9, "utf-8")
    git("add", ".")
    git("commit", "--quiet", "-m", "Base")
    git("branch", "base")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    return git


def test_changes_since_the_branch_left_its_base(repository, tmp_path):
    folder = tmp_path / "catalog" / "architectures"
    (folder / "bert.yaml").rename(folder / "esm.yaml")
    (folder / "é 1.yaml").write_text("new\n", "utf-8")
    repository("add", ".")
    repository("commit", "--quiet", "-m", "Change")
    repository("checkout", "--quiet", "base")
    (tmp_path / "README.md").write_text("Changed on the base meanwhile.\n", "utf-8")
    repository("add", ".")
    repository("commit", "--quiet", "-m", "Another change")
    repository("checkout", "--quiet", "-")
    names = [f"catalog/architectures/{name}.yaml" for name in ("bert", "esm", "é 1")]
    assert sorted(tool.changed_since("base")) == names


def test_what_is_not_committed_yet_was_changed_too(repository, tmp_path):
    folder = tmp_path / "catalog" / "architectures"
    (folder / "bert.yaml").write_text("changed\n", "utf-8")
    (folder / "esm.yaml").write_text("new\n", "utf-8")
    (tmp_path / ".gitignore").write_text("*.log\n", "utf-8")
    (tmp_path / "a.log").write_text("ignored\n", "utf-8")
    names = [".gitignore", *(f"catalog/architectures/{name}.yaml" for name in ("bert", "esm"))]
    assert sorted(tool.changed_since("base")) == names


def test_a_base_that_there_is_not_is_an_error_and_not_no_change(repository, called):
    code, out, err = called("--base", "nowhere")
    assert (code, out, "nowhere" in err) == (2, [], True)


def test_a_broken_catalog_is_an_error_and_not_no_change(called, tmp_path, monkeypatch, catalog):
    (tmp_path / "catalog" / "architectures").mkdir(parents=True)
    (tmp_path / "catalog" / "architectures" / "bad.yaml").write_text("architecture: [\n", "utf-8")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    code, out, err = called("--smoke")
    assert (code, out, "bad.yaml" in err) == (3, [], True)


def test_a_broken_architecture_can_still_be_named(tmp_path):
    (tmp_path / "architectures").mkdir()
    (tmp_path / "architectures" / "bad.yaml").write_text("architecture: [\n", "utf-8")
    assert concerned(Catalog([tmp_path]), "catalog/architectures/bad.yaml") == ("bad",)
