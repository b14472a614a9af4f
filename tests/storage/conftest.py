"""Stores on localhost: a folder, and an S3 server."""

import shutil

import pytest
from tests.s3 import s3, s3_server  # noqa: F401

from neuron_catalog.storage.stores import Store


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    """Return a store of each kind."""
    if request.param == "s3":
        return Store(request.getfixturevalue("s3"))
    return Store(f"file://{tmp_path / 'store'}")


@pytest.fixture
def empty(store):
    """Tell what lies in a store."""

    def look() -> bool:
        return store.names() == []

    return look


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    shutil.rmtree(made, ignore_errors=True)
    (made / "part").mkdir(parents=True)
    (made / "one").write_bytes(b"1" * 3_000_000)
    (made / "part" / "two").write_bytes(b"2")
    (made / "about.json").write_text("{}")
    return made
