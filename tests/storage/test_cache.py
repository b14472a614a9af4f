"""The compile cache: entries are whole or absent, found by their keys, and never believed unread."""

import json
import os
import subprocess
import sys
import time

import pytest

from neuron_catalog.errors import CompileError, RequestError
from neuron_catalog.storage import cache as cache_module
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.keys import Key
from neuron_catalog.storage.upkeep import collect, verify

KEY, OTHER = Key({"weights": "a", "seed": 0}), Key({"weights": "b", "seed": 0})
FILES = {"model.pt": b"graph" * 100, "config.json": b"{}"}


@pytest.fixture
def cache(tmp_path):
    return CompileCache(tmp_path / "cache")


@pytest.fixture
def artifact(tmp_path):
    folder = tmp_path / "artifact"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def place(cache, key=KEY):
    return cache.root / "entries" / key.digest


def kept(cache, artifact, *keys):
    for key in keys or (KEY,):
        assert cache.keep(key, {"task": "fill-mask"}, artifact, FILES)


def test_what_was_kept_is_fetched(cache, artifact, out):
    assert cache.find(KEY) is None
    kept(cache, artifact)
    entry = cache.fetch(KEY, out)
    assert content(out) == FILES
    assert (entry.digest, entry.bytes, entry.title) == (KEY.digest, 502, {"task": "fill-mask"})
    assert cache.fetch(OTHER, out) is None
    assert list(cache.entries()) == [entry]
    assert cache.key_of(entry) == KEY


@pytest.mark.parametrize("harm", ["changed", "shortened", "removed", "swapped"])
def test_an_altered_entry_is_removed_and_gives_nothing(harm, cache, artifact, out):
    kept(cache, artifact)
    file = place(cache) / "model.pt"
    if harm == "changed":
        file.write_bytes(b"Graph" * 100)
    elif harm == "shortened":
        file.write_bytes(b"graph")
    elif harm == "removed":
        file.unlink()
    else:
        file.write_bytes((place(cache) / "config.json").read_bytes())
    assert cache.fetch(KEY, out) is None
    assert content(out) == {}
    assert not place(cache).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}'])
def test_a_damaged_description_is_no_entry(text, cache, artifact, out):
    kept(cache, artifact)
    (place(cache) / "entry.json").write_text(text)
    assert cache.fetch(KEY, out) is None
    assert list(cache.entries()) == []
    kept(cache, artifact)
    assert cache.fetch(KEY, out)


def test_an_entry_under_another_name_is_none(cache, artifact):
    kept(cache, artifact)
    place(cache).rename(place(cache, OTHER))
    assert cache.find(OTHER) is None


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "..", "", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(name, cache, artifact, out):
    kept(cache, artifact)
    path = place(cache) / "entry.json"
    said = json.loads(path.read_bytes())
    said["files"][name] = said["files"].pop("model.pt")
    path.write_text(json.dumps(said))
    assert cache.fetch(KEY, out) is None
    assert content(out) == {}


def test_a_full_target_is_no_fault_of_the_cache(cache, artifact, out):
    kept(cache, artifact)
    with pytest.raises(FileNotFoundError):
        cache.fetch(KEY, out / "absent")
    assert cache.find(KEY)


def test_a_cache_that_cannot_be_written_keeps_nothing(cache, artifact):
    cache.root.write_text("a file")
    assert not cache.keep(KEY, {}, artifact, FILES)
    with cache.lock(KEY.digest, lambda: pytest.fail("waited")):
        assert list(cache.entries()) == []
    cache.keep_failure(KEY, CompileError("no"))
    assert cache.failure(KEY.digest) is None


def test_a_second_process_waits_for_the_first(cache, artifact):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from neuron_catalog.storage.cache import CompileCache\n"
        f"with CompileCache(Path({str(cache.root)!r})).lock({KEY.digest!r}, print):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout.readline() == "held\n"
    waited = []

    def on_wait():
        waited.append(time.monotonic())
        process.kill()  # the lock goes with its holder

    with cache.lock(KEY.digest, on_wait), cache.lock(OTHER.digest, lambda: pytest.fail("another key")):
        assert waited
    process.communicate()


def test_a_refusal_is_believed_for_a_day(cache, monkeypatch):
    cache.keep_failure(KEY, CompileError("It is too large.", "Choose smaller sizes."))
    failure = cache.failure(KEY.digest)
    assert (failure.cause, failure.remedy) == ("It is too large.", "Choose smaller sizes.")
    assert cache.failure(OTHER.digest) is None
    for seconds in (cache_module.FAILURE_SECONDS + 1, -60):  # later, and with a clock that was set back
        monkeypatch.setattr(cache_module.time, "time", lambda at=failure.made + seconds: at)
        assert cache.failure(KEY.digest) is None


def test_the_nearest_entry_differs_in_the_fewest_facts(cache, artifact):
    far = Key({"weights": "c", "seed": 7})
    assert cache.nearest(KEY) is None
    kept(cache, artifact, far, OTHER)
    assert cache.nearest(KEY).digest == OTHER.digest


def test_verify_tells_what_is_wrong(cache, artifact):
    assert list(verify(cache)) == []
    keys = [Key({"seed": seed}) for seed in range(5)]
    kept(cache, artifact, *keys)
    whole, changed, keyless, other, garbled = (place(cache, key) for key in keys)
    (changed / "model.pt").write_bytes(b"")
    (keyless / "key.json").unlink()
    (other / "key.json").write_text('{"seed": 9}')
    (garbled / "entry.json").write_text("{")
    told = {verdict.digest: verdict.altered for verdict in verify(cache)}
    assert told.pop(whole.name) == ()
    assert told.pop(changed.name) == ("model.pt has 0 bytes, not 500",)
    assert "cannot be read" in told.pop(keyless.name)[0]
    assert told.pop(other.name) == ("its key is another one",)
    assert told.pop(garbled.name) == ("it is no entry that this version can read",)
    assert told == {}


def test_collecting_removes_what_was_not_used_for_the_longest_time(cache, artifact, out):
    keys = [Key({"seed": seed}) for seed in range(4)]
    kept(cache, artifact, *keys)
    for age, key in enumerate(keys):
        os.utime(place(cache, key), (1000 - age, 1000 - age))
    cache.fetch(keys[3], out)  # used just now
    done = collect(cache, 2 * 502)
    assert {entry.digest for entry in done.removed} == {keys[1].digest, keys[2].digest}
    assert (done.kept, done.kept_bytes) == (2, 2 * 502)
    assert collect(cache, 0).kept == 0
    assert list((cache.root / "entries").iterdir()) == []


def test_collecting_tidies_up(cache, artifact, monkeypatch):
    kept(cache, artifact)
    left = place(cache).with_name(f".{KEY.digest}.partial-x")
    left.mkdir()
    os.utime(left, (0, 0))
    for key in (KEY, OTHER):
        cache.unfinished(key.digest).mkdir(parents=True)
    with cache.lock(KEY.digest, lambda: None):
        cache.keep_failure(OTHER, CompileError("no"))
        collect(cache, 10**9)
        assert (cache.root / "locks" / f"{KEY.digest}.lock").exists()
    assert not left.exists()
    assert [cache.unfinished(key.digest).exists() for key in (KEY, OTHER)] == [True, False]
    assert cache.failure(OTHER.digest)
    monkeypatch.setattr(cache_module, "FAILURE_SECONDS", 0)
    collect(cache, 10**9)
    assert [list((cache.root / name).iterdir()) for name in ("failures", "locks")] == [[], []]


def test_a_key_that_cannot_be_read_is_told(cache, artifact):
    kept(cache, artifact)
    (place(cache) / "key.json").write_text("{")
    with pytest.raises(RequestError, match=r"key\.json cannot be read"):
        cache.key_of(cache.find(KEY))
