"""Readers of untrusted files take or refuse what they are given, and do nothing else.

`make torture` gives them more than a million inputs; here each gets other ones every day.
"""

import datetime
import multiprocessing
from pathlib import Path

import pytest
from tests.torture.fuzzing import READERS, Fuzzed, artifacts_in, fuzz, seeds_for, watch_files

COUNT = 60
TODAY = datetime.date.today().toordinal()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return artifacts_in(tmp_path_factory.mktemp("fuzzing"))


def fuzzed_apart(name: str, seeds: list[bytes], folder: Path) -> tuple[Fuzzed, list[str]]:
    """Watch what is written: a process cannot stop to."""
    wrong: list[str] = []
    watch_files(folder, wrong)
    return fuzz(name, seeds, COUNT, TODAY, folder), wrong


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_or_refuses(name, artifacts, tmp_path):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        outcome, written = pool.apply(fuzzed_apart, (name, seeds_for(name, artifacts), tmp_path))
    assert (outcome.wrong, written) == ([], [])
    assert outcome.inputs >= COUNT
    assert outcome.taken


@pytest.mark.parametrize("harm", ["raise", "write", "hang"])
def test_the_fuzzer_notices(harm, tmp_path, monkeypatch):
    def reader(data: bytes, folder: Path) -> None:
        if harm == "raise":
            raise KeyError("x")
        if harm == "write":
            (folder.parent / "elsewhere").write_bytes(data)
        if harm == "hang":
            while True:
                pass

    monkeypatch.setitem(READERS, "log of a compiler", reader)
    monkeypatch.setattr("tests.torture.fuzzing.SECONDS", 0.01)
    inside = tmp_path / "inside"
    inside.mkdir()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        outcome, written = pool.apply(fuzzed_apart, ("log of a compiler", [b"x"], inside))
    assert outcome.wrong or written
