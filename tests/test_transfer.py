"""Artifacts go to stores and come back: whole, held to their digests, and loaded by their address."""

from dataclasses import replace

import pytest
import torch
from tests.stores import SECRET

from neuron_catalog import NeuronAutoModel
from neuron_catalog.errors import RequestError, VerificationError
from neuron_catalog.exporting.exporter import export
from neuron_catalog.exporting.request import ExportRequest
from neuron_catalog.inventory import CARD_NAME
from neuron_catalog.storage.cache import CompileCache
from neuron_catalog.storage.home import PLACE, REMOTE
from neuron_catalog.storage.sharing import push
from neuron_catalog.storage.stores import Store
from neuron_catalog.transfer import downloaded_artifact, upload_artifact

IDS = torch.arange(1, 17).repeat(2, 1)


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "neuron-catalog" / "artifacts"


@pytest.fixture
def url(store_url):
    return store_url


def content(folder):
    """All files of a folder but its card, which is not brought."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != CARD_NAME}


def test_the_card_goes_to_a_store_and_is_not_needed_from_there(artifact, url):
    (artifact / CARD_NAME).write_text("# mine")
    upload_artifact(artifact, url)
    assert Store(url).read(CARD_NAME) == b"# mine"
    assert not (downloaded_artifact(url) / CARD_NAME).exists()


def test_a_card_that_links_out_of_the_artifact_is_not_uploaded(artifact, url, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (artifact / CARD_NAME).unlink()
    (artifact / CARD_NAME).symlink_to(tmp_path / "secret")
    upload_artifact(artifact, url)
    assert Store(url).read(CARD_NAME) is None


def test_an_artifact_is_loaded_by_its_address(artifact, url, home):
    upload_artifact(artifact, url)
    given = NeuronAutoModel.from_pretrained(url)(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    there = NeuronAutoModel.from_pretrained(artifact)(input_ids=IDS, attention_mask=torch.ones_like(IDS))
    assert torch.equal(given.logits, there.logits)
    assert content(downloaded_artifact(url)) == content(artifact)
    assert len([path for path in home.iterdir() if not path.name.startswith(".")]) == 1


def test_what_was_brought_and_damaged_since_is_brought_again(artifact, url):
    upload_artifact(artifact, url)
    folder = downloaded_artifact(url)
    (folder / "model.pt").write_bytes(b"half")
    assert content(downloaded_artifact(url)) == content(artifact)
    NeuronAutoModel.from_pretrained(url)


def test_an_artifact_is_not_replaced_unasked(artifact, url):
    upload_artifact(artifact, url)
    with pytest.raises(RequestError, match="There is an artifact at"):
        upload_artifact(artifact, url)
    upload_artifact(artifact, url, overwrite=True)


def test_what_was_altered_is_not_uploaded(artifact, url):
    (artifact / "model.pt").write_bytes(b"evil")
    with pytest.raises(VerificationError, match="was altered"):
        upload_artifact(artifact, url)
    assert Store(url).names() == []


def test_what_was_altered_in_the_store_is_refused(artifact, url, home):
    upload_artifact(artifact, url)
    store = Store(url)
    store._opened[0].pipe_file(store.path("model.pt"), b"evil")
    with pytest.raises(VerificationError, match="is not what the description"):
        NeuronAutoModel.from_pretrained(url)
    assert [path for path in home.iterdir() if not path.name.startswith(".")] == []


def test_a_manifest_that_leads_elsewhere_is_refused(artifact, url, tmp_path):
    upload_artifact(artifact, url)
    store = Store(url)
    raw = store.read("neuron_catalog.json").replace(b'"model.pt": {', b'"../evil.pt": {')
    store._opened[0].pipe_file(store.path("neuron_catalog.json"), raw)
    with pytest.raises(RequestError, match="must be the name of a file"):
        downloaded_artifact(url)
    assert not list(tmp_path.rglob("evil*"))


def test_an_interrupted_download_goes_on(artifact, url, monkeypatch, home):
    upload_artifact(artifact, url)
    fs = Store(url)._opened[0]
    real, opened = fs.open, []

    def breaking(path, *arguments, **named):
        opened.append(path)
        if path.endswith("model.pt") and opened.count(path) == 1:
            raise ConnectionResetError("the line was cut")
        return real(path, *arguments, **named)

    monkeypatch.setattr(fs, "open", breaking)
    with pytest.raises(RequestError, match="the line was cut"):
        downloaded_artifact(url)
    folder = downloaded_artifact(url)
    times = {name: sum(path.endswith(name) for path in opened) for name in ("config.json", "model.pt")}
    assert times == {"config.json": 1, "model.pt": 2}
    assert content(folder) == content(artifact)


def test_an_address_without_an_artifact_is_told(url):
    with pytest.raises(RequestError, match=r"is no exported artifact: it has no neuron_catalog\.json"):
        NeuronAutoModel.from_pretrained(url)


def test_secrets_are_in_no_file_and_in_no_message(artifact, s3, home, run):
    told = run("upload", str(artifact), s3), run("upload", str(artifact), "s3://nobodys/esm", "--debug")
    assert [code for code, _, _ in told] == [0, 4]
    assert not any(SECRET in text for _, out, err in told for text in (out, err))
    folder = downloaded_artifact(s3)
    assert not any(SECRET.encode() in each for each in content(folder.parent).values())


def test_a_signature_that_came_later_is_brought_too(artifact, url):
    upload_artifact(artifact, url)
    assert not (downloaded_artifact(url) / "model.sig").exists()
    (artifact / "model.sig").write_text("signed")
    upload_artifact(artifact, url, overwrite=True)
    assert (downloaded_artifact(url) / "model.sig").read_text() == "signed"


def test_a_shared_entry_without_a_manifest_makes_no_export_fail(catalog, url, tmp_path, monkeypatch):
    monkeypatch.setenv(PLACE, str(tmp_path / "mine"))
    request = ExportRequest(architecture="esm", task="fill-mask", out=tmp_path / "one")
    export(request, catalog)
    cache = CompileCache(tmp_path / "mine")
    (entry,) = cache.entries()
    key, place = cache.key_of(entry), cache.place(entry.digest)
    (place / "neuron_catalog.json").write_text("{}")
    assert cache.keep(key, {}, place, entry.files)
    exported = export(replace(request, out=tmp_path / "two"), catalog)
    assert not exported.recalled
    exported.manifest.require_intact(exported.folder)


def test_a_pipeline_goes_there_and_back(tmp_path, run, s3):
    pytest.importorskip("diffusers")
    assert run("export", "--task", "stable-diffusion", str(tmp_path / "sd"), "--disable_validation")[0] == 0
    upload_artifact(tmp_path / "sd", s3)
    assert content(downloaded_artifact(s3)) == content(tmp_path / "sd")


def test_the_commands(artifact, url, run, tmp_path):
    code, out, _ = run("upload", str(artifact), url)
    assert code == 0
    assert f'from_pretrained("{url}")' in out
    assert run("download", url, "back")[0] == 0
    assert content(tmp_path / "back") == content(artifact)
    assert run("upload", str(artifact), url)[0] == 4


def test_an_export_into_an_address_names_the_command(run):
    code, _, err = run("export", "esm", "--task", "fill-mask", "s3://models/esm")
    assert code == 4
    assert "neuron-catalog upload FOLDER URL" in err


def test_a_shared_cache_is_asked_for_what_is_not_here(catalog, url, tmp_path, monkeypatch):
    request = ExportRequest(architecture="esm", task="fill-mask")
    steps = []

    def exported_to(name, cache):
        monkeypatch.setenv(PLACE, str(tmp_path / cache))
        return export(replace(request, out=tmp_path / name), catalog, steps.append)

    first = exported_to("one", "mine")
    monkeypatch.setenv(REMOTE, url)
    assert not exported_to("two", "yours").recalled
    mine = CompileCache(tmp_path / "mine")
    assert len(list(push(mine, Store(url), mine.entries()))) == 1
    third = exported_to("three", "theirs")
    assert third.recalled
    assert content(third.folder) == content(first.folder)
    assert f"Asking {url}" in steps


def test_a_shared_cache_that_is_away_makes_no_export_fail(catalog, tmp_path, monkeypatch):
    monkeypatch.setenv(PLACE, str(tmp_path / "cache"))
    monkeypatch.setenv(REMOTE, "nothing://there")
    steps = []
    export(ExportRequest(architecture="esm", task="fill-mask", out=tmp_path / "out"), catalog, steps.append)
    assert any("Protocol not known: nothing. Compiling here" in step for step in steps)


def test_push_and_pull(run, url, monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "mine"))
    run("export", "esm", "--task", "fill-mask", "one")
    assert "Wrote 1 artifact of 0.2 MB to " in run("cache", "push", url)[1]
    assert "Wrote 0 artifacts of 0.0 MB" in run("cache", "push", url)[1]
    monkeypatch.setenv(PLACE, str(tmp_path / "yours"))
    code, _, err = run("cache", "pull", url, "xyz")
    assert (code, f"No entry of {url} begins with xyz." in err) == (4, True)
    assert "Brought 1 artifact of 0.2 MB from " in run("cache", "pull", url)[1]
    assert "Taken from the compile cache" in run("export", "esm", "--task", "fill-mask", "two")[1]
