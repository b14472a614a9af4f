"""`export --dry_run` and the commands about the compile cache."""

import json

import pytest

from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.home import PLACE

ESM = ("export", "esm", "--task", "fill-mask")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    return CompileCache(tmp_path / "cache")


def answer(run, *arguments):
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run, cache, tmp_path):
    code, out, _ = run(*ESM, "out", "--dry_run")
    assert code == 0
    assert "Not in the compile cache: it would be compiled into out." in out
    assert sorted(path.name for path in tmp_path.iterdir()) == []
    assert run(*ESM, "out")[0] == 0
    code, out, _ = run(*ESM, "two", "--dry-run")
    assert "In the compile cache since 20" in out
    assert "would be copied into two; nothing is compiled." in out
    assert "esm fill-mask" in run("cache", "ls")[1]


def test_an_export_says_where_it_came_from(run):
    assert "Taken from" not in run(*ESM, "one")[1]
    assert "Taken from the compile cache" in run(*ESM, "two")[1]
    assert "Taken from" not in run(*ESM, "three", "--no_cache")[1]


def test_why_tells_what_differs_from_the_nearest_entry(run):
    question = ("cache", "why", "esm", "--task", "fill-mask")
    assert answer(run, *question)["nearest"] is None
    run(*ESM, "one")
    assert answer(run, *question)["hit"]
    told = answer(run, *question, "--sequence_length", "32")
    assert not told["hit"]
    first = told["differences"][0]
    assert first == {"fact": "plans.0.axes.sequence_length", "mine": "32", "theirs": "16"}
    out = run(*question, "--sequence_length", "32")[1]
    assert "  plans.0.axes.sequence_length: 32 here, 16 there\n" in out


def test_a_dry_run_of_a_pipeline_tells_of_each_part(run, tmp_path):
    pytest.importorskip("diffusers")
    told = answer(run, "export", "--task", "stable-diffusion", "out", "--dry_run")
    assert set(told["parts"]) >= {"unet", "text_encoder", "vae_decoder"}
    assert not any(part["hit"] for part in told["parts"].values())
    out = run("export", "--task", "stable-diffusion", "out", "--dry_run")[1]
    assert "unet:\nNot in the compile cache: it would be compiled into out/unet.\n" in out


def test_what_was_altered_is_told_and_removed(run, cache):
    run(*ESM, "one")
    assert "1 of 1 entries in " in run("cache", "verify")[1]
    (entry,) = cache.entries()
    (cache.root / "entries" / entry.digest / "model.pt").write_bytes(b"evil")
    code, out, err = run("cache", "verify")
    assert code == 6
    assert "0 of 1 entries in " in out
    assert f"altered, and removed: {entry.digest[:16]}: model.pt has 4 bytes" in err
    assert list(cache.entries()) == []


def test_gc_makes_room(run, cache):
    run(*ESM, "one")
    run(*ESM, "two", "--sequence_length", "8")
    sizes = sorted((used, each.bytes) for used, each in cache.by_use())
    limit = sizes[1][1]
    assert "Removed 1 artifact of 0.1 MB; 1 artifact of 0.1 MB left." in run(
        "cache", "gc", "--max_size", str(limit)
    )[1].replace("0.2 MB", "0.1 MB")
    assert answer(run, "cache", "gc", "--max_size", "0")["kept"] == 0
    assert answer(run, "cache", "ls") == []


@pytest.mark.parametrize("size", ["many", "-1", "1.5.2G", "20X"])
def test_a_size_that_is_none_is_refused(size, run):
    code, _, err = run("cache", "gc", f"--max_size={size}")
    assert code == 2
    assert f"--max_size {size} is no size." in err


@pytest.mark.parametrize(("size", "bytes"), [("20G", 20e9), ("1.5 MB", 1.5e6), ("500k", 5e5), ("7", 7)])
def test_sizes_may_have_units(size, bytes):
    from neuron_catalog.cli.caching import _bytes

    assert _bytes(size) == bytes


def test_a_cache_that_is_turned_off_is_told(run, monkeypatch):
    monkeypatch.setenv(PLACE, "")
    code, _, err = run("cache", "ls")
    assert code == 4
    assert f"The compile cache is turned off: {PLACE} is empty." in err
    assert "The compile cache is turned off." in run(*ESM, "--dry_run")[1]


def test_an_unreadable_cache_is_an_empty_one(run, cache):
    cache.root.mkdir()
    (cache.root / "entries").symlink_to("/nonexistent")
    assert run("cache", "ls")[1].startswith("0 artifacts of 0.0 MB")
    assert run(*ESM, "one")[0] == 0
