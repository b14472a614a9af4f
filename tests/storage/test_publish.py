"""A folder appears at its place whole, or not at all, whatever fails and whoever is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neuron_catalog.errors import RequestError
from neuron_catalog.storage import disk, publish
from neuron_catalog.storage.publish import publication

HOLD = """
import sys, time
from pathlib import Path
from neuron_catalog.storage.publish import publication
with publication(Path(sys.argv[1])) as folder:
    (folder / "half.txt").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old.txt").write_text("keep")
    return target


@pytest.fixture
def no_exchange(monkeypatch):
    monkeypatch.setattr(disk, "_renameat2", lambda: None)


def replaced(target):
    with publication(target, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert (names(target.parent), names(target)) == (["out"], ["new.txt"])


def test_a_folder_is_replaced_in_one_step(old, monkeypatch):
    """No moment passes in which there is neither the old nor the new one."""
    seen = []
    exchange = publish.exchange

    def watching(one, other):
        done = exchange(one, other)
        seen.append((done, names(one), names(other)))
        return done

    monkeypatch.setattr(publish, "exchange", watching)
    replaced(old)
    assert seen == [(True, ["old.txt"], ["new.txt"])]


def test_a_folder_is_replaced_in_two_steps_where_the_system_cannot_exchange(old, no_exchange):
    replaced(old)


def test_a_file_system_that_cannot_exchange_is_found_out(old, monkeypatch):
    def refusing(*arguments):
        ctypes.set_errno(errno.EINVAL)
        return -1

    import ctypes
    import errno

    monkeypatch.setattr(disk, "_renameat2", lambda: refusing)
    replaced(old)


def test_another_error_of_the_exchange_is_told(old, monkeypatch):
    monkeypatch.setattr(disk, "_renameat2", lambda: lambda *arguments: -1)
    monkeypatch.setattr(disk.ctypes, "get_errno", lambda: 16)
    told = pytest.raises(RequestError, match="could not be written: Device or resource busy")
    with told, publication(old, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert (names(old.parent), names(old)) == (["out"], ["old.txt"])


def test_old_folder_comes_back_if_the_new_one_cannot_take_its_place(old, no_exchange, monkeypatch):
    rename = Path.rename

    def failing(self, other):
        if ".partial-" in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing)
    told = pytest.raises(RequestError, match="could not be written: Input/output error")
    with told, publication(old, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert (names(old.parent), names(old)) == (["out"], ["old.txt"])


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    """Not what a living one is about: it holds its folder."""
    target = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", HOLD, target], stdout=subprocess.PIPE, text=True)
    partial = Path(process.stdout.readline().strip())
    try:
        os.utime(partial, (0, 0))
        publish.clear_away(target)
        assert names(partial) == ["half.txt"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    publish.clear_away(target)
    assert not partial.exists()


def test_what_is_young_is_left_alone(tmp_path):
    """Its maker may be about to hold it."""
    young = tmp_path / ".out.partial-x"
    young.mkdir()
    publish.clear_away(tmp_path / "out")
    assert young.exists()


def test_what_is_from_the_future_is_not_young(tmp_path):
    """A clock was wrong when a killed process made it."""
    old = tmp_path / ".out.partial-x"
    old.mkdir()
    os.utime(old, (time.time() + 10**6,) * 2)
    publish.clear_away(tmp_path / "out")
    assert not old.exists()


def test_what_made_room_comes_back_after_a_kill(tmp_path):
    """A process was killed between the two steps of a replacement."""
    target = tmp_path / "out"
    moved = tmp_path / ".out.replaced-x"
    moved.mkdir()
    (moved / "old.txt").write_text("keep")
    os.utime(moved, (0, 0))
    with pytest.raises(ZeroDivisionError), publication(target, overwrite=True):
        _ = 1 / 0
    assert names(target) == ["old.txt"]


def test_what_made_room_for_a_whole_folder_goes(old):
    moved = old.parent / ".out.replaced-x"
    moved.mkdir()
    os.utime(moved, (0, 0))
    replaced(old)


def test_a_link_with_the_name_of_a_left_over_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.utime(elsewhere, (0, 0))
    (tmp_path / ".out.partial-x").symlink_to(elsewhere)
    publish.clear_away(tmp_path / "out")
    assert elsewhere.is_dir()
