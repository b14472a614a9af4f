"""A hub on localhost, and clients of it in processes of their own."""

import json
import subprocess
import sys
import textwrap

import pytest
from tests.hub.server import HubServer

PRELUDE = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

def raised(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return [kind.__name__ for kind in type(error).__mro__], status, str(error)
    raise AssertionError("nothing was raised")

def content(folder):
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes().hex() for path in paths}

"""
# huggingface_hub uploads large files with an argument that httpx2 deprecates.
WARNINGS = ("-W", "error", "-W", "ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub():
    with HubServer(token="secret") as hub:
        yield hub


@pytest.fixture
def client(hub, tmp_path):
    """Run Python code in a new process whose hub is ours; returns what the code binds to `result`."""

    def run(code, token=None, **variables):
        script = f"{PRELUDE}{textwrap.dedent(code)}\nprint(json.dumps(result))"
        home = tmp_path / "home"
        done = subprocess.run(
            [sys.executable, *WARNINGS, "-c", script],
            env=hub.environment(home, token) | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
