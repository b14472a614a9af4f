"""The overview says what the catalog says, whatever the cache holds."""

import os
import shutil
from pathlib import Path

import pytest

from neuron_catalog import CatalogError, RequestError
from neuron_catalog.catalog import cache, index, shelf
from neuron_catalog.catalog.folders import shipped_folder
from neuron_catalog.catalog.overview import Overview

KINDS = {"checked", "outlines", "tasks", "tiers"}
NAMES = ("bert", "esm", "distilbert")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The cache folder of this test, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "neuron-catalog"


@pytest.fixture
def folder(tmp_path):
    """A small catalog that may be changed."""
    return small_catalog(tmp_path / "mine")


def small_catalog(folder: Path) -> Path:
    parts = ["tasks.yaml", "normalized_configs.yaml", "families/text-encoder.yaml"]
    parts += [f"architectures/{name}.yaml" for name in NAMES] + [f"evidence/{name}.jsonl" for name in NAMES]
    for part in parts:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shipped_folder() / part, folder / part)
    return folder


def everything(*folders: Path) -> dict:
    """Ask an overview everything; errors are answers too."""
    asked = Overview(folders)
    questions = {
        "tasks": asked.tasks,
        "outlines": lambda: asked.outlines(asked.architectures),
        "tiers": asked.tiers,
        "check": asked.check,
        "files": lambda: asked.files,
    }
    return {name: answer(question) for name, question in questions.items()}


def answer(question):
    try:
        return question()
    except CatalogError as error:
        return error.findings


def uncached(*folders: Path) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", "/dev/null")
        return everything(*folders)


@pytest.fixture
def no_reading(monkeypatch):
    """Call to forbid that a catalog file is read, as a warm answer must not."""

    def forbid():
        def refuse(*arguments):
            raise AssertionError("the catalog was read")

        monkeypatch.setattr(index, "load", refuse)

    return forbid


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_shipped_catalog_in_short_is_what_the_catalog_says(catalog, place):
    for _ in range(2):
        short = Overview(catalog.folders)
        assert short.architectures == catalog.architectures
        assert short.files == catalog.files()
        assert short.check() == ()
        assert short.tasks() == {n: t.model_dump(mode="json") for n, t in catalog.tasks.items()}
        assert short.tiers() == {name: catalog.tiers(name) for name in catalog.architectures}
        for name, outline in short.outlines(catalog.architectures).items():
            said = catalog.get(name)
            assert (outline["family"], outline["summary"]) == (said.family, said.summary)
            assert {t: tuple(o["outputs"]) for t, o in outline["tasks"].items()} == dict(said.tasks)
            for task, given in outline["tasks"].items():
                assert tuple(given["mandatory_axes"]) == catalog.mandatory_axes(name, task)


def test_warm_answers_read_no_catalog_file(folder, place, no_reading):
    right = uncached(folder)
    assert everything(folder) == right
    assert {path.suffix[1:] for path in place.iterdir()} == KINDS
    no_reading()
    assert everything(folder) == right


CHANGES = {
    "one letter of an architecture": lambda f: edit(f / "architectures/esm.yaml", "ESM", "EXM"),
    "an output": lambda f: edit(f / "architectures/esm.yaml", "[last_hidden_state, ", "["),
    "an architecture that gets wrong": lambda f: edit(f / "architectures/esm.yaml", "family: t", "family: x"),
    "a family": lambda f: edit(f / "families/text-encoder.yaml", "suggest: 128", "default: 128"),
    "a family that gets wrong": lambda f: edit(f / "families/text-encoder.yaml", "axes:", "exes:"),
    "a task": lambda f: edit(f / "tasks.yaml", "summary: ", "summary: X"),
    "tasks that get wrong": lambda f: edit(f / "tasks.yaml", "summary: ", "summery: "),
    "an alias": lambda f: edit(f / "normalized_configs.yaml", "hidden_size: ", "hidden_size: x"),
    "evidence": lambda f: edit(f / "evidence/esm.jsonl", '"traced"', '"compiled"'),
    "evidence that gets wrong": lambda f: edit(f / "evidence/esm.jsonl", '"traced"', '"tracked"'),
    "no evidence": lambda f: (f / "evidence/esm.jsonl").unlink(),
    "an architecture less": lambda f: (f / "architectures/esm.yaml").unlink(),
    "an architecture more": lambda f: shutil.copyfile(
        shipped_folder() / "architectures/roberta.yaml", f / "architectures/roberta.yaml"
    ),
    "a broken architecture more": lambda f: (f / "architectures/new.yaml").write_text("a: b: c\n"),
    "a family more": lambda f: shutil.copyfile(
        shipped_folder() / "families/audio-encoder.yaml", f / "families/audio-encoder.yaml"
    ),
    "a family whose name is no text": lambda f: (f / os.fsdecode(b"families/\xff.yaml")).write_text("a: b\n"),
    "tasks less": lambda f: (f / "tasks.yaml").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_seen_whatever_the_times_and_sizes_say(change, folder, place):
    before = everything(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    CHANGES[change](folder)
    for path, time in times.items():
        if path.exists():
            os.utime(path, ns=(time, time))
    after = everything(folder)
    assert after == uncached(folder) == everything(folder)
    assert after != before


def test_undone_change_gives_the_first_answers(folder, place):
    before = everything(folder)
    edit(folder / "tasks.yaml", "summary: ", "summary: X")
    everything(folder)
    edit(folder / "tasks.yaml", "summary: X", "summary: ")
    assert everything(folder) == before


def test_order_of_folders_counts(folder, tmp_path, place):
    other = small_catalog(tmp_path / "other")
    edit(other / "architectures/esm.yaml", "ESM", "EXM")
    for order in ((folder, other), (other, folder)):
        assert everything(*order) == uncached(*order) == everything(*order)
    first, second = (Overview(o).outlines(["esm"]) for o in ((folder, other), (other, folder)))
    assert first != second


def test_only_a_changed_file_is_read_again(folder, place, monkeypatch):
    Overview([folder]).check()
    edit(folder / "architectures/esm.yaml", "ESM", "EXM")
    read = []
    load = index.load
    monkeypatch.setattr(index, "load", lambda path, model: read.append(path.name) or load(path, model))
    assert Overview([folder]).check() == ()
    assert "esm.yaml" in read
    assert "bert.yaml" not in read


def test_findings_are_worked_out_each_time_and_the_right_files_are_remembered(folder, place):
    edit(folder / "architectures/esm.yaml", "family: t", "family: x")
    first = Overview([folder]).check()
    assert {finding.file.name for finding in first} == {"esm.yaml"}
    assert Overview([folder]).check() == first == index.Catalog([folder]).check()


def test_unknown_architecture_is_refused_as_the_catalog_does(folder, place):
    with pytest.raises(RequestError, match="did you mean esm"):
        Overview([folder]).outlines(["ems"])
    with pytest.raises(RequestError, match="nowhere does not exist"):
        Overview([folder / "nowhere"])


def damaged(data: bytes) -> list[bytes]:
    flipped = [bytes([*data[:i], data[i] ^ 1, *data[i + 1 :]]) for i in range(0, len(data), len(data) // 40)]
    return [b"", b"\n", b"{}", b"null\nnull", data[:-1], data + b" ", data[len(data) // 2 :], *flipped]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_damaged_file_counts_for_nothing(kind, folder, place):
    right = everything(folder)
    (path,) = place.glob(f"*.{kind}")
    whole = path.read_bytes()
    for data in damaged(whole):
        path.write_bytes(data)
        assert everything(folder) == right
        assert path.read_bytes() == whole


def test_file_of_other_reading_code_counts_for_nothing(folder, place, monkeypatch):
    everything(folder)
    monkeypatch.setattr("neuron_catalog.catalog.overview.reading_code", lambda: b"another version")
    read = []
    load = index.load
    monkeypatch.setattr(index, "load", lambda path, model: read.append(path.name) or load(path, model))
    Overview([folder]).check()
    assert "bert.yaml" in read


def test_reading_code_covers_sources_and_installed_packages(monkeypatch, tmp_path):
    before = cache.reading_code()
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(packages)
    with_packages = cache.reading_code()
    (packages / "pydantic-9.dist-info").mkdir()
    os.utime(packages, ns=(1, 1))
    assert len({before, with_packages, cache.reading_code()}) == 3
    copied = shutil.copytree(Path(cache.__file__).parents[1] / "schema", tmp_path / "package" / "schema")
    (tmp_path / "package" / "catalog").mkdir()
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "package" / "catalog" / "cache.py"))
    before = cache.reading_code()
    edit(copied / "words.py", "transformers", "Transformers")
    assert cache.reading_code() != before


@pytest.mark.parametrize("what", ["file in the way", "no folder", "directory in place of a file"])
def test_cache_that_cannot_be_kept_changes_nothing(what, folder, place, monkeypatch, tmp_path):
    right = uncached(folder)
    if what == "file in the way":
        place.parent.write_text("")
    elif what == "no folder":
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    else:
        everything(folder)
        for path in tuple(place.iterdir()):
            path.unlink()
            path.mkdir()
    assert everything(folder) == right == everything(folder)
    if place.exists():
        assert {path.suffix[1:] for path in place.iterdir()} == KINDS  # no temporary file is left


def test_home_is_taken_where_no_cache_folder_is_named(folder, monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Overview([folder]).check()
    assert len(list((tmp_path / "home/.cache/neuron-catalog").glob("*.checked"))) == 1


def test_file_changed_while_it_is_read_is_not_remembered(folder, place, monkeypatch):
    path = folder / "architectures/esm.yaml"
    load = shelf.load

    def load_and_change(read, model):
        entry = load(read, model)
        if read == path:
            edit(path, "ESM", "EXM")
        return entry

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "load", load_and_change)
        Overview([folder]).outlines(["esm", "bert"])
    assert "esm" not in next(place.glob("*.outlines")).read_text()
    assert Overview([folder]).outlines(["esm"])["esm"]["summary"].startswith("EXM")


def test_file_that_nobody_wrote_for_long_is_removed(folder, place):
    Overview([folder]).check()
    (old,) = place.iterdir()
    os.utime(old, (1, 1))
    Overview([folder]).tasks()
    assert [path.suffix for path in place.iterdir()] == [".tasks"]
