"""Folders in stores are there whole or not at all; what is cut off goes on, what is altered is refused."""

from pathlib import Path

import pytest

from neuron_catalog.digests import record_file
from neuron_catalog.errors import RequestError, UsageError, VerificationError
from neuron_catalog.storage import stores
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.keys import Key
from neuron_catalog.storage.sharing import pull, push, there
from neuron_catalog.storage.stores import Store, is_url
from neuron_catalog.storage.upkeep import collect

NAMES = ["one", "part/two"]
NAMES_OF_ENTRY = ["one", "about.json"]
KEY = Key({"seed": 0})


def uploaded(store, folder):
    store.upload(folder, NAMES, "about.json")


def cut_off(monkeypatch, store, method, after):
    """Let the store's client break off in its `after`-th call."""
    fs = store._opened[0]
    real, calls = getattr(fs, method), []

    def breaking(*arguments, **named):
        calls.append(arguments)
        if len(calls) == after:
            raise ConnectionResetError("the line was cut")
        return real(*arguments, **named)

    monkeypatch.setattr(fs, method, breaking)
    return calls


def test_what_was_uploaded_comes_back(store, folder, tmp_path):
    assert store.read("about.json") is None
    uploaded(store, folder)
    assert store.read("about.json") == b"{}"
    assert store.names() == ["about.json", "one", "part"]
    for name in NAMES:
        target = tmp_path / "back" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        store.download(name, target, record_file(folder / name))
        assert target.read_bytes() == (folder / name).read_bytes()


def test_the_describing_file_comes_last_and_goes_first(store, folder, monkeypatch):
    uploaded(store, folder)
    (folder / "one").write_bytes(b"other")
    calls = cut_off(monkeypatch, store, "put_file", 2)
    with pytest.raises(RequestError, match="could not be written: the line was cut"):
        uploaded(store, folder)
    assert [Path(each[0]).name for each in calls] == ["one", "two"]
    assert store.read("about.json") is None


def test_an_interrupted_upload_leaves_nothing_new(store, folder, monkeypatch):
    cut_off(monkeypatch, store, "put_file", 3)
    with pytest.raises(RequestError):
        uploaded(store, folder)
    assert [store.read(name) for name in (*NAMES, "about.json")] == [None] * 3


def test_a_download_goes_on_where_it_was_cut_off(store, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "BLOCK", 1_000_000)
    uploaded(store, folder)
    recorded, target = record_file(folder / "one"), tmp_path / "one"
    part = tmp_path / "one.part"
    part.write_bytes(b"1" * 1_000_000)
    begun = []
    fs = store._opened[0]
    real = fs.open

    def opening(*arguments, **named):
        file = real(*arguments, **named)
        seek = file.seek
        file.seek = lambda place: (begun.append(place), seek(place))[1]
        return file

    monkeypatch.setattr(fs, "open", opening)
    store.download("one", target, recorded)
    assert begun == [1_000_000]
    assert target.read_bytes() == (folder / "one").read_bytes()
    assert not part.exists()
    monkeypatch.setattr(fs, "open", lambda *arguments: pytest.fail("it is there"))
    store.download("one", target, recorded)


@pytest.mark.parametrize("left", [b"0" * 500, b"1" * 4_000_000])
def test_what_is_left_of_another_file_is_begun_again(left, store, folder, tmp_path):
    uploaded(store, folder)
    (tmp_path / "one.part").write_bytes(left)
    store.download("one", tmp_path / "one", record_file(folder / "one"))
    assert (tmp_path / "one").read_bytes() == (folder / "one").read_bytes()


def test_an_altered_file_is_refused(store, folder, tmp_path):
    recorded = record_file(folder / "one")
    (folder / "one").write_bytes(b"evil")
    uploaded(store, folder)
    with pytest.raises(VerificationError, match="one is not what the description of its folder says"):
        store.download("one", tmp_path / "one", recorded)
    assert not list(tmp_path.glob("one*"))


def test_a_missing_file_is_told(store, folder, tmp_path):
    with pytest.raises(RequestError, match="could not be read"):
        store.download("none", tmp_path / "none", record_file(folder / "one"))


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/a", "https://host/a?token=secret"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(url):
    with pytest.raises(UsageError) as told:
        Store(url)
    assert "secret@" not in str(told.value)
    assert "token=" not in str(told.value)


def test_an_unknown_kind_of_store_is_told():
    with pytest.raises(RequestError, match="nothing://a cannot be opened: Protocol not known: nothing"):
        Store("nothing://a").read("x")


def test_a_server_that_is_away_is_told(s3, monkeypatch):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RequestError, match="Check the address, the network and your credentials"):
        Store(s3).read("x")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(("text", "yes"), [("s3://a/b", True), ("a/b", False), ("/a", False), ("./a", False)])
def test_addresses_are_told_from_paths_and_ids(text, yes):
    assert is_url(text) == yes


def cache_with(tmp_path, folder, name):
    cache = CompileCache(tmp_path / name)
    cache.keep(KEY, {}, folder, ["one", "about.json"])
    return cache


def test_a_cache_is_shared(store, folder, tmp_path):
    mine, yours = cache_with(tmp_path, folder, "mine"), CompileCache(tmp_path / "yours")
    assert there(store) == []
    assert pull(yours, store, KEY.digest) is None
    assert [new for _, new in push(mine, store, mine.entries())] == [True]
    assert [new for _, new in push(mine, store, mine.entries())] == [False]
    assert there(store) == [KEY.digest]
    assert pull(yours, store, KEY.digest) == yours.find(KEY) == mine.find(KEY)
    out = tmp_path / "out"
    out.mkdir()
    assert yours.fetch(KEY, out)
    assert yours.key_of(yours.find(KEY)) == KEY


def test_an_altered_entry_is_not_pushed(store, folder, tmp_path):
    mine = cache_with(tmp_path, folder, "mine")
    (mine.place(KEY.digest) / "one").write_bytes(b"evil")
    with pytest.raises(VerificationError, match="was altered: one has 4 bytes"):
        list(push(mine, store, mine.entries()))
    assert there(store) == []


@pytest.mark.parametrize("harm", ["one", "key.json", "entry.json"])
def test_an_entry_that_was_altered_in_the_store_is_not_taken(harm, store, folder, tmp_path):
    mine, yours = cache_with(tmp_path, folder, "mine"), CompileCache(tmp_path / "yours")
    list(push(mine, store, mine.entries()))
    place = store.inner(f"entries/{KEY.digest}")
    fs = place._opened[0]
    fs.pipe_file(place.path(harm), b'{"seed": 1}')
    with pytest.raises(VerificationError):
        pull(yours, store, KEY.digest)
    assert yours.find(KEY) is None
    fs.pipe_file(place.path(harm), (mine.place(KEY.digest) / harm).read_bytes())
    assert pull(yours, store, KEY.digest)


def test_an_interrupted_pull_goes_on(store, folder, tmp_path, monkeypatch):
    mine, yours = cache_with(tmp_path, folder, "mine"), CompileCache(tmp_path / "yours")
    list(push(mine, store, mine.entries()))
    fs = Store(store.url)._opened[0]
    real, opened = fs.open, []

    def breaking(path, *arguments, **named):
        if path.endswith(tuple(NAMES_OF_ENTRY)):
            opened.append(Path(path).name)
            if len(opened) == 2:
                raise ConnectionResetError("the line was cut")
        return real(path, *arguments, **named)

    monkeypatch.setattr(fs, "open", breaking)
    with pytest.raises(RequestError, match="the line was cut"):
        pull(yours, store, KEY.digest)
    assert yours.find(KEY) is None
    assert pull(yours, store, KEY.digest)
    assert sorted(opened) == sorted([*NAMES_OF_ENTRY, opened[1]])


def test_what_is_left_of_a_pull_is_collected(folder, tmp_path):
    cache = cache_with(tmp_path, folder, "mine")
    left = cache.root / "downloads" / "some"
    left.mkdir(parents=True)
    with cache.lock("some.downloads", lambda: None):
        collect(cache, 10**9)
        assert left.exists()
    collect(cache, 10**9)
    assert not left.exists()


def test_a_full_disk_is_not_taken_for_the_network(store, folder, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    uploaded(store, folder)
    monkeypatch.setattr(Store, "_append", full)
    with pytest.raises(RequestError, match="No space left on device") as told:
        store.download("one", tmp_path / "one", record_file(folder / "one"))
    assert told.value.remedy == "Make room on the disk."
