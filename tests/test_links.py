"""Links in artifacts: none leads out of the folder, but those of the hub's cache to its own blobs."""

import shutil

import pytest

from neuron_catalog import load_artifact
from neuron_catalog.composition import intact_files
from neuron_catalog.errors import VerificationError
from neuron_catalog.inventory import card_in


def moved(path, to):
    """Move a file and leave a link to it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, to)
    path.symlink_to(to)


@pytest.mark.parametrize("name", ["config.json", "model.pt", "neuron_catalog.json"])
def test_a_link_out_of_an_artifact_is_refused(name, artifact, tmp_path):
    moved(artifact / name, tmp_path / "elsewhere" / name)
    for read in (load_artifact, intact_files):
        with pytest.raises(VerificationError, match=f"{name} is a link out of the artifact"):
            read(artifact)


def test_a_link_within_an_artifact_is_followed(artifact):
    moved(artifact / "config.json", artifact / "kept" / "config.json")
    load_artifact(artifact)


def test_an_artifact_may_lie_below_a_link(artifact, tmp_path):
    (tmp_path / "link").symlink_to(artifact)
    load_artifact(tmp_path / "link")


def test_links_of_the_hubs_cache_are_followed(artifact, tmp_path):
    snapshot = tmp_path / "models--you--esm" / "snapshots" / "abc"
    shutil.copytree(artifact, snapshot)
    for number, path in enumerate(sorted(snapshot.iterdir())):
        moved(path, tmp_path / "models--you--esm" / "blobs" / str(number))
    load_artifact(snapshot)
    assert card_in(snapshot)
    moved(tmp_path / "models--you--esm" / "blobs" / "1", tmp_path / "elsewhere")
    with pytest.raises(VerificationError, match="is a link out of the artifact"):
        load_artifact(snapshot)
