"""Exported pipelines, each made once."""

import pytest
from tests.runtime.diffusion.twins import Twins

from neuron_catalog.runtime.base import CompiledModel


@pytest.fixture(scope="session")
def twins(catalog, tmp_path_factory):
    """Export the tiny version of a pipeline with some sizes; returns `Twins`, made once."""
    made = {}

    def make(pipeline, controlnets=(), **axes):
        key = (pipeline, controlnets, *axes.items())
        if key not in made:
            folder = tmp_path_factory.mktemp(pipeline) / "artifact"
            made[key] = Twins.of(catalog, folder, pipeline=pipeline, controlnets=controlnets, axes=axes)
        return made[key]

    return make


@pytest.fixture
def idle(monkeypatch):
    """Let no graph run: what is refused must be refused before."""

    def run(self, *args, **kwargs):
        raise AssertionError("a graph was run")

    monkeypatch.setattr(CompiledModel, "run", run)
