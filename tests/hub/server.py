"""A Hugging Face hub on localhost: tests run the real client against it, and nothing is patched.

Use `with HubServer(token="secret") as hub:` and run the client in a process of its own with
`hub.environment(home)`, because huggingface_hub reads its endpoint once, at import.

As on the real hub, large files live on another host (`localhost` beside `127.0.0.1`) behind signed URLs.
There is no Xet storage: a client with hf_xet installed needs HF_HUB_DISABLE_XET=1 to upload large files.
"""

import os
import re
import sys
import threading
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.hub.endpoints import Request, Response, answer
from tests.hub.store import HubStore


@dataclass
class Fault:
    """What goes wrong with the next `times` requests that match: an error, a cut body or a late answer."""

    path_part: str
    method: str | None
    times: int
    status: int | None = None
    keep: int | None = None
    seconds: float | None = 0

    def matches(self, request: Request) -> bool:
        bodiless = self.keep is not None and request.method == "HEAD"
        wanted = self.path_part in request.path and self.method in (None, request.method)
        return wanted and self.times > 0 and not bodiless


class HubServer(HubStore):
    """A hub that is served while the context lasts, and fails when it is told to.

    The faults count requests whose path, without its query, has `path_part`. A client sends more than one
    request for a file: HEAD, then GET; and a large file's GET goes to /storage/<sha256>/<path of the file>.

    Attributes:
        url: What a client takes as HF_ENDPOINT.
        requests: "METHOD /path" of every request so far, in order and without queries.
    """

    def __init__(self, token: str = "secret", user: str = "owner") -> None:
        super().__init__(token, user)
        self.requests: list[str] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.storage_url = f"http://localhost:{self._server.server_port}/storage"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """Return the variables of a client process: this hub, caches below `home`, none of ours."""
        ours = re.compile("HF_|HUGGING|TRANSFORMERS_")
        kept = {name: text for name, text in os.environ.items() if not ours.match(name)}
        settings = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1,localhost"}
        flags = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS")
        return {**kept, **settings, **dict.fromkeys(flags, "1"), **({"HF_TOKEN": token} if token else {})}

    def fail_next(
        self, path_part: str, *, status: int = 503, times: int = 1, method: str | None = None
    ) -> None:
        """Answer with an error."""
        self._faults.append(Fault(path_part, method, times, status=status))

    def truncate_next(
        self, path_part: str, *, keep: int = 0, times: int = 1, method: str | None = None
    ) -> None:
        """Promise the whole body in Content-Length, send its first `keep` bytes and close the connection."""
        self._faults.append(Fault(path_part, method, times, keep=keep))

    def delay_next(
        self, path_part: str, *, seconds: float | None = None, times: int = 1, method: str | None = None
    ) -> None:
        """Answer late or, if no time is given, never: the connection stays open until the server closes."""
        self._faults.append(Fault(path_part, method, times, seconds=seconds))

    def respond(self, request: Request) -> tuple[Response, int | None] | None:
        """Return the answer and how many bytes of it to send (None: all); None if there is no answer."""
        with self._lock:
            self.requests.append(f"{request.method} {request.path}")
            matching = [fault for fault in self._faults if fault.matches(request)]
            fault = matching[0] if matching else Fault("", None, times=1)
            fault.times -= 1
        if fault.seconds != 0 and (self._closing.wait(fault.seconds) or fault.seconds is None):
            return None
        if fault.status is not None:
            return Response(b'{"error": "told to fail"}', fault.status), None
        with self._lock:
            return answer(self, request), fault.keep


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # connections that wait; a snapshot opens eight at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong here, but not that a client went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Turns bytes into requests, and answers into bytes."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, hub: HubServer, *arguments: Any) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def _handle(self) -> None:
        target = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = dict(parse_qsl(target.query))
        hub = self.hub
        request = Request(self.command, target.path, query, self.headers, body, hub.url, hub.storage_url)
        answered = hub.respond(request)
        if answered is None:
            self.close_connection = True
            return
        self._send(*answered)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 (http.server's names)

    def _send(self, response: Response, keep: int | None) -> None:
        self.send_response(response.status)
        for name, text in response.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[:keep])
        if keep is not None:
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: `HubServer.requests` has it."""
