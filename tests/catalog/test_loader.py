"""Which kind of file a path is, and that a loaded document keeps its place in the file."""

from pathlib import Path

import pytest

from neuron_catalog.catalog.loader import kind_of, load
from neuron_catalog.errors import CatalogError
from neuron_catalog.schema.documents import TasksFile


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("x/architectures/toy.yaml", "architecture"),
        ("x/components/part.yaml", "component"),
        ("x/families/toys.yaml", "family"),
        ("x/pipelines/whole.yaml", "pipeline"),
        ("x/tasks.yaml", "tasks"),
        ("x/normalized_configs.yaml", "normalized_configs"),
    ],
)
def test_the_place_of_a_file_tells_its_kind(path, kind):
    assert kind_of(Path(path)) == kind


@pytest.mark.parametrize(
    "path", ["x/architectures/toy.yml", "x/toy.yaml", "x/architecture/toy.yaml", "x/README.md"]
)
def test_other_files_are_refused(path):
    with pytest.raises(CatalogError) as caught:
        kind_of(Path(path))
    assert str(caught.value) == (
        f"{path}:1:1: NC200 not a catalog file; a catalog has architectures/*.yaml, families/*.yaml, "
        "components/*.yaml, pipelines/*.yaml, tasks.yaml and normalized_configs.yaml"
    )


def test_the_kind_is_known_inside_the_folder_too(tmp_path, monkeypatch):
    folder = tmp_path / "architectures"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert kind_of(Path("toy.yaml")) == "architecture"


def test_a_document_keeps_its_source(catalog):
    path = catalog.folders[-1] / "tasks.yaml"
    entry = load(path, TasksFile)
    assert entry.source.path == path
    assert entry.source.marks["tasks",] == (2, 1)
    assert set(entry.document.tasks) == set(entry.source.value["tasks"])
