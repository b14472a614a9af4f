"""Checkpoints of pipelines, saved once for all tests of their export."""

import shutil

import pytest
from tests.diffusion import UNET, save_pipeline


@pytest.fixture(scope="session")
def saved_pipelines(catalog, tmp_path_factory):
    """Return the folder of a pipeline's checkpoint. It is shared: a test that changes it copies it first."""
    saved = {}

    def folder_of(name):
        if name not in saved:
            configs = {"unet": UNET} if name == "stable-diffusion" else {}
            saved[name] = save_pipeline(catalog, name, tmp_path_factory.mktemp(name) / name, configs)
        return saved[name]

    return folder_of


@pytest.fixture
def saved(saved_pipelines, tmp_path):
    """Return a copy of a pipeline's checkpoint, called `checkpoint`, that a test may change."""

    def copied(name="stable-diffusion"):
        return shutil.copytree(saved_pipelines(name), tmp_path / "checkpoint")

    return copied
