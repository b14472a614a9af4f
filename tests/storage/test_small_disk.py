"""Disks that are really full or read-only: small file systems, where the system lets one mount them."""

import os
import subprocess

import pytest
from tests.conftest import leftovers

from neuron_catalog.storage.home import PLACE

EXPORT = ("export", "esm", "--task", "fill-mask")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of so many KiB; it can be mounted again with other options."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options):
        nonlocal mounted
        kind = [] if mounted else ["-t", "tmpfs"]
        again = "remount," if mounted else ""
        command = ["mount", *kind, "-o", f"{again}{options}", "tmpfs", str(place)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this system lets nobody, or only root, mount a file system")
        mounted = True
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


def free_bytes(place):
    told = os.statvfs(place)
    return told.f_bavail * told.f_frsize


def test_a_full_disk_is_told_and_the_next_run_succeeds(small_disk, run):
    disk = small_disk("size=100k")
    before = free_bytes(disk)
    code, _, err = run(*EXPORT, str(disk / "out"))
    assert code == 4
    assert "No space left on device" in err
    assert "Fix: Nothing was left behind; check free space" in err
    assert (leftovers(disk), free_bytes(disk)) == ([], before)
    small_disk("size=9m")
    assert run(*EXPORT, str(disk / "out"))[0] == 0
    assert leftovers(disk) == ["out"]


def test_an_artifact_is_not_replaced_on_a_full_disk(small_disk, run):
    disk = small_disk("size=9m")
    run(*EXPORT, str(disk / "out"))
    kept = {path.name: path.read_bytes() for path in (disk / "out").iterdir()}
    with (disk / "ballast").open("wb") as ballast:
        ballast.write(b"x" * (free_bytes(disk) - 50_000))
    assert run(*EXPORT, str(disk / "out"), "--overwrite")[0] == 4
    assert {path.name: path.read_bytes() for path in (disk / "out").iterdir()} == kept
    assert leftovers(disk) == ["ballast", "out"]


@pytest.mark.parametrize("options", ["size=100k", "size=100k,ro"])
def test_a_cache_on_a_full_or_a_read_only_disk_stops_no_export(
    options, small_disk, run, monkeypatch, tmp_path
):
    disk = small_disk(options)
    monkeypatch.setenv(PLACE, str(disk / "cache"))
    for name in ("one", "two"):
        code, out, _ = run(*EXPORT, str(tmp_path / name))
        assert code == 0
        assert "Taken from the compile cache" not in out


def test_a_read_only_disk_is_told(small_disk, run):
    disk = small_disk("size=9m,ro")
    code, _, err = run(*EXPORT, str(disk / "out"))
    assert code == 4
    assert f"{disk / 'out'} could not be written: Read-only file system." in err
