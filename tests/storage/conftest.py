"""A folder, and a place for it in a store of each kind."""

import shutil

import pytest

from neuron_catalog.storage.stores import Store


@pytest.fixture
def store(store_url):
    """Return a store of each kind."""
    return Store(store_url)


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
