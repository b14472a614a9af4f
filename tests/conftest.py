"""Shared fixtures. No test reaches a model hub: offline mode is set before transformers is imported."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # each process of several has one core
    os.environ["OMP_NUM_THREADS"] = "1"

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from neuron_catalog.catalog.index import Catalog, load_catalog
from neuron_catalog.cli.main import main

pytest_plugins = ["tests.stores"]

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # how busy a machine is must decide about no test


@pytest.fixture(autouse=True)
def _no_user_catalog(monkeypatch):
    monkeypatch.delenv("NEURON_CATALOG_PATH", raising=False)


@pytest.fixture(autouse=True, scope="session")
def _no_user_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("NEURON_CATALOG_CACHE", "")  # tests that plant faults must compile
        yield


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command line in a folder of its own; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def exported(catalog, tmp_path_factory):
    """The artifact of a tiny model; tests that change one take `artifact`."""
    from neuron_catalog.exporting.exporter import export
    from neuron_catalog.exporting.request import ExportRequest

    out = tmp_path_factory.mktemp("exported") / "esm"
    return export(ExportRequest(architecture="esm", task="fill-mask", out=out), catalog).folder


@pytest.fixture
def artifact(exported, tmp_path):
    """A copy of the artifact of a tiny model."""
    return shutil.copytree(exported, tmp_path / "esm")


@pytest.fixture(scope="session")
def checkpoint(catalog, tmp_path_factory):
    """Save a tiny model of an architecture for a task as a checkpoint folder; returns the folder."""
    made: dict[tuple[str, str], Path] = {}

    def save(name: str, task: str) -> Path:
        if (name, task) not in made:
            from neuron_catalog.exporting.request import ExportRequest, resolve

            resolved = resolve(ExportRequest(architecture=name, task=task), catalog)
            folder = tmp_path_factory.mktemp(name) / f"{name}-checkpoint"
            resolved.source.load(resolved.plan).module.save_pretrained(folder)
            made[name, task] = folder
        return made[name, task]

    return save


def leftovers(folder: Path) -> list[str]:
    """Return the names of everything in `folder`, hidden files included."""
    return sorted(path.name for path in folder.iterdir())
