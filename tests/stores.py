"""Stores on localhost, for tests of several folders: an S3 server and a hub."""

import fsspec
import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi
from tests.hub.server import HubServer

SECRET = "topsecretkey"


@pytest.fixture(scope="session")
def s3_server():
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Return an address in a new bucket of a server on this machine."""
    import s3fs

    settings = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = s3fs.S3FileSystem()
    bucket.mkdir("models")
    yield "s3://models/some"
    bucket.rm("models", recursive=True)
    bucket.invalidate_cache()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def hf(monkeypatch):
    """Return an address in a new repository of a hub on this machine."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with HubServer(token=SECRET) as hub:
        settings = {"endpoint": hub.url, "token": SECRET}
        monkeypatch.setitem(fsspec.config.conf, "hf", settings)
        HfApi(hub.url, SECRET).create_repo("you/models")
        yield "hf://you/models/some"


@pytest.fixture(params=["file", "s3", "hf"])
def store_url(request, tmp_path):
    """Return an address in each kind of store."""
    return (
        f"file://{tmp_path}/store/some" if request.param == "file" else request.getfixturevalue(request.param)
    )
