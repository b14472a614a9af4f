"""An S3 server on localhost, for tests of several folders."""

import pytest

pytest.importorskip("moto")
pytest.importorskip("s3fs")

import s3fs
from moto.server import ThreadedMotoServer

SECRET = "topsecretkey"


@pytest.fixture(scope="session")
def s3_server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Return an address in a new bucket of a server on this machine."""
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
