"""The hub of server.py, seen through the real client: each test runs one or more processes of it."""

import hashlib

import pytest
from tests.hub.store import HubError

ALWAYS = 1_000_000
BINARY = bytes(range(256)) * 12_000


def file_requests(hub):
    return [line for line in hub.requests if "/resolve/" in line or "/storage/" in line]


def test_create_repo(hub, client):
    (kinds, status, _), url = client(
        """
        api = HfApi()
        api.create_repo("owner/open", private=False)
        api.create_repo("closed", private=True)
        url = api.create_repo("owner/open", exist_ok=True)
        result = raised(api.create_repo, "owner/open"), url
        """,
        token="secret",
    )
    assert (kinds[0], status) == ("HfHubHTTPError", 409)
    assert url == f"{hub.url}/owner/open"
    assert not hub.repository("owner/open").private
    assert hub.repository("owner/closed").private
    assert list(hub.repository("owner/open").files()) == [".gitattributes"]


def test_upload_folder(hub, client, tmp_path):
    files = {
        "config.json": b"{}",
        "empty.txt": b"",
        "README.md": b"# A model\n",
        "deep/weights.safetensors": BINARY,
    }
    for path, content in files.items():
        (tmp_path / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / path).write_bytes(content)
    oids = client(
        """
        api = HfApi()
        api.create_repo("owner/model")
        result = [api.upload_folder(repo_id="owner/model", folder_path="folder").oid for _ in range(2)]
        """,
        token="secret",
    )
    repository = hub.repository("owner/model")
    assert {path: repository.files()[path] for path in files} == files
    assert oids == [repository.branches["main"]] * 2, "the second upload had nothing to commit"
    assert hub.objects == {hashlib.sha256(BINARY).hexdigest(): BINARY}
    lfs = {path for path, blob in repository.at("main").blobs.items() if blob.lfs}
    assert lfs == {"deep/weights.safetensors"}
    assert sum(line.startswith("PUT /storage/") for line in hub.requests) == 1
    assert "POST /owner/model.git/info/lfs/objects/verify" in hub.requests


def test_binary_is_lfs_whatever_its_name(hub, client):
    hub.add("owner/model", {"data": BINARY, "text": b"text"})
    blobs = hub.repository("owner/model").at("main").blobs
    assert (blobs["data"].lfs, blobs["text"].lfs) == (True, False)
    result = client(
        """
        infos = HfApi().list_repo_tree("owner/model")
        result = {info.path: info.lfs and [info.lfs.sha256, info.lfs.size] for info in infos}
        """
    )
    assert result["data"] == [hashlib.sha256(BINARY).hexdigest(), len(BINARY)]
    assert result["text"] is None


def test_delete_and_stale_parent(hub, client):
    first = hub.add("owner/model", {"a.txt": b"a", "sub/b.txt": b"b", "sub/c.txt": b"c", "d.txt": b"d"})
    missing, stale = client(
        f"""
        api = HfApi()
        api.delete_file("a.txt", "owner/model")
        api.delete_folder("sub", "owner/model")
        missing = raised(api.delete_file, "a.txt", "owner/model")
        result = missing, raised(api.delete_file, "d.txt", "owner/model", parent_commit="{first}")
        """,
        token="secret",
    )
    assert list(hub.repository("owner/model").files()) == [".gitattributes", "d.txt"]
    assert missing[0][0] == "RemoteEntryNotFoundError"
    assert stale[1] == 412


def test_snapshot_download(hub, client):
    files = {"config.json": b"{}", "sub/notes.txt": b"notes", "weights.bin": BINARY}
    hub.add("owner/model", files)
    code = """
    result = content(snapshot_download("owner/model", allow_patterns={patterns}))
    """
    some = client(code.format(patterns=["*.json"]))
    assert some == {"config.json": b"{}".hex()}
    everything = client(code.format(patterns=None))
    assert everything == {
        path: content.hex() for path, content in hub.repository("owner/model").files().items()
    }
    requested = len(file_requests(hub))
    assert client(code.format(patterns=None)) == everything
    assert len(file_requests(hub)) == requested, "the second download came from the cache"


def test_download_at_revisions(hub, client):
    first = hub.add("owner/model", {"file.txt": b"first"})
    hub.add("owner/model", {"file.txt": b"second"})
    hub.add("owner/model", {"file.txt": b"aside"}, branch="side/line")
    code = f"""
    revisions = ["main", "{first}", "side/line"]
    paths = [hf_hub_download("owner/model", "file.txt", revision=revision) for revision in revisions]
    result = [Path(path).read_text() for path in paths]
    """
    assert client(code) == ["second", "first", "aside"]
    assert [line.split()[0] for line in file_requests(hub)] == ["HEAD", "GET"] * 3
    hub.requests.clear()
    assert client(code) == ["second", "first", "aside"]
    # A branch may have moved, so it is asked for; a commit never moves.
    assert file_requests(hub) == [
        "HEAD /owner/model/resolve/main/file.txt",
        "HEAD /owner/model/resolve/side%2Fline/file.txt",
    ]


@pytest.mark.parametrize("token", [None, "secret"])
def test_what_is_missing(hub, client, token):
    hub.add("owner/model", {"file.txt": b"text"})
    errors = client(
        """
        result = {
            "file": raised(hf_hub_download, "owner/model", "absent.txt"),
            "repository": raised(hf_hub_download, "owner/absent", "file.txt"),
            "revision": raised(hf_hub_download, "owner/model", "file.txt", revision="absent"),
            "snapshot of a repository": raised(snapshot_download, "owner/absent"),
            "snapshot of a revision": raised(snapshot_download, "owner/model", revision="absent"),
            "snapshot of a commit": raised(snapshot_download, "owner/model", revision="0" * 40),
        }
        """,
        token=token,
    )
    assert "EntryNotFoundError" in errors["file"][0]
    for what in ("repository", "snapshot of a repository"):
        assert errors[what][0][0] == "RepositoryNotFoundError"
        assert errors[what][1] == (404 if token else 401)
    for what in ("revision", "snapshot of a revision", "snapshot of a commit"):
        assert errors[what][0][0] == "RevisionNotFoundError"


def test_private_needs_the_token(hub, client):
    files = {"file.txt": b"text", "weights.bin": BINARY}
    hub.add("owner/private", files, private=True)
    anonymous, wrong, folder = client(
        """
        anonymous = [
            raised(hf_hub_download, "owner/private", "file.txt"),
            raised(snapshot_download, "owner/private"),
            raised(HfApi().model_info, "owner/private"),
        ]
        wrong = raised(hf_hub_download, "owner/private", "file.txt", token="wrong")
        result = anonymous, wrong, content(snapshot_download("owner/private", token="secret"))
        """
    )
    assert [(kinds[0], status) for kinds, status, _ in anonymous] == [("RepositoryNotFoundError", 401)] * 3
    assert (wrong[0][0], wrong[1]) == ("HfHubHTTPError", 401)
    assert "Invalid credentials" in wrong[2]
    assert {path: folder[path] for path in files} == {path: content.hex() for path, content in files.items()}


def test_gated_lists_but_does_not_send(hub, client):
    hub.add("owner/gated", {"file.txt": b"text"}, gated=True)
    gated, refused, path = client(
        """
        refused = raised(hf_hub_download, "owner/gated", "file.txt")
        path = hf_hub_download("owner/gated", "file.txt", token="secret")
        result = HfApi().model_info("owner/gated").gated, refused, path
        """
    )
    assert gated == "manual"
    assert (refused[0][0], refused[1]) == ("GatedRepoError", 401)
    assert path.endswith("file.txt")


def test_writing_needs_the_token(hub, client):
    head = hub.add("owner/model", {"file.txt": b"text"})
    errors = client(
        """
        upload = dict(path_or_fileobj=b"new", path_in_repo="file.txt", repo_id="owner/model")
        result = [
            error
            for token in ("wrong", False)
            for error in (
                raised(HfApi(token=token).upload_file, **upload),
                raised(HfApi(token=token).create_repo, "owner/new"),
            )
        ]
        """
    )
    assert [(kinds[0], status) for kinds, status, _ in errors] == [
        ("HfHubHTTPError", 401),
        ("HfHubHTTPError", 401),
        ("RepositoryNotFoundError", 401),
        ("HfHubHTTPError", 401),
    ]
    assert hub.repository("owner/model").branches["main"] == head
    with pytest.raises(HubError):
        hub.repository("owner/new")


def test_datasets_have_paths_of_their_own(hub, client):
    text, names = client(
        """
        api = HfApi()
        api.create_repo("owner/data", repo_type="dataset")
        api.upload_file(
            path_or_fileobj=b"1,2", path_in_repo="a/b.csv", repo_id="owner/data", repo_type="dataset"
        )
        path = hf_hub_download("owner/data", "a/b.csv", repo_type="dataset")
        result = Path(path).read_text(), api.list_repo_files("owner/data", repo_type="dataset")
        """,
        token="secret",
    )
    assert (text, names) == ("1,2", [".gitattributes", "a/b.csv"])
    assert hub.repository("owner/data", "dataset").files()["a/b.csv"] == b"1,2"


def test_transformers_loads_each_revision(hub, client, tmp_path):
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    commits, sums = [], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = BertModel(config)
        model.save_pretrained(tmp_path / str(seed))
        files = {path.name: path.read_bytes() for path in (tmp_path / str(seed)).iterdir()}
        commits.append(hub.add("owner/bert", files))
        sums.append(model.embeddings.word_embeddings.weight.sum().item())
    loaded = client(
        f"""
        from transformers import AutoConfig, AutoModel
        result = [AutoConfig.from_pretrained("owner/bert").hidden_size]
        for options in ({{}}, {{"revision": "{commits[0]}"}}, {{"revision": "{commits[1]}"}}):
            model = AutoModel.from_pretrained("owner/bert", use_safetensors=True, **options)
            result.append(model.embeddings.word_embeddings.weight.sum().item())
        """
    )
    assert loaded == [8, sums[1], sums[0], sums[1]]
    assert sums[0] != sums[1]


def test_fail_next(hub, client):
    """A download says that it found nothing, with the hub's error as the cause; an upload leaves no trace."""
    head = hub.add("owner/model", {"file.txt": b"text"})
    hub.fail_next("/api/models/owner/model", status=500)
    hub.fail_next("/api/models/owner/model/revision", status=503)
    hub.fail_next("/commit/")
    info, snapshot, upload = client(
        """
        api = HfApi()
        upload = dict(path_or_fileobj=b"new", path_in_repo="file.txt", repo_id="owner/model")
        info = raised(api.model_info, "owner/model")
        snapshot = raised(snapshot_download, "owner/model")
        result = info, snapshot, raised(api.upload_file, **upload)
        """,
        token="secret",
    )
    assert (info[0][0], info[1]) == ("HfHubHTTPError", 500)
    assert snapshot[0][0] == "LocalEntryNotFoundError"
    assert "503" in snapshot[2]
    assert (upload[0][0], upload[1]) == ("HfHubHTTPError", 503)
    assert hub.repository("owner/model").branches["main"] == head


def test_truncated_body(hub, client):
    """An answer is lost; a file's download goes on where it stopped, unless nothing ever comes."""
    hub.add("owner/model", {"cut.bin": BINARY, "lost.txt": b"text"})
    hub.truncate_next("/api/models/owner/model", keep=10)
    hub.truncate_next("cut.bin", keep=100_000)
    hub.truncate_next("lost.txt", times=ALWAYS)
    info, sha256, lost = client(
        """
        import hashlib
        info = raised(HfApi().model_info, "owner/model")
        path = Path(hf_hub_download("owner/model", "cut.bin"))
        lost = raised(hf_hub_download, "owner/model", "lost.txt")
        result = info, hashlib.sha256(path.read_bytes()).hexdigest(), lost
        """
    )
    assert info[0][0] == lost[0][0] == "RemoteProtocolError"
    assert "peer closed connection without sending complete message body" in info[2]
    assert sha256 == hashlib.sha256(BINARY).hexdigest()
    assert sum(line.startswith("GET") and "cut.bin" in line for line in hub.requests) == 2
    assert sum(line.startswith("GET") and "lost.txt" in line for line in hub.requests) == 6


def test_late_answers(hub, client):
    """What is never answered ends with the client's patience, if it has any: snapshot_download has none."""
    hub.add("owner/model", {"file.txt": b"text"})
    hub.delay_next("/api/models/owner/model")
    hub.delay_next("/api/models/owner/model", seconds=0.5)
    hub.delay_next("file.txt", method="HEAD")
    error, seconds, text = client(
        """
        import time
        error = raised(HfApi().model_info, "owner/model", timeout=0.3)
        start = time.monotonic()
        HfApi().model_info("owner/model")
        seconds = time.monotonic() - start
        path = Path(hf_hub_download("owner/model", "file.txt", etag_timeout=0.3))
        result = error, seconds, path.read_text()
        """
    )
    assert error[0][0] == "ReadTimeout"
    assert seconds >= 0.5
    assert text == "text"
    assert [line.split()[0] for line in file_requests(hub)] == ["HEAD", "HEAD", "GET"]
