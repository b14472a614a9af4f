"""The endpoints of a hub, one function each: what huggingface_hub 2.4.0 sends, and what it reads."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

from tests.hub.store import Blob, HubError, HubStore, Repository, is_lfs


@dataclass(frozen=True)
class Request:
    """One HTTP request to the hub at `url`; `fields` holds what its route matched in the path, unquoted.

    `storage_url` is where large files live: another host than the hub's, to which
    clients do not send their token.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Message
    body: bytes
    url: str
    storage_url: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def answer(hub: HubStore, request: Request) -> Response:
    """Find the endpoint of a request and return what it says; a refusal is an answer too."""
    try:
        for method, pattern, endpoint in ROUTES:
            matched = re.fullmatch(pattern, request.path)
            if matched and request.method.replace("HEAD", "GET") == method:
                fields = {name: unquote(text or "") for name, text in matched.groupdict().items()}
                return endpoint(hub, replace(request, fields=fields))
        raise HubError(404, f"No endpoint for {request.method} {request.path}")
    except HubError as error:
        return Response(json.dumps(error.details).encode(), error.status, error.headers)


def authenticated(hub: HubStore, request: Request) -> bool:
    """Whether a request carries the token; another token than the right one is refused everywhere."""
    sent = request.headers.get("Authorization")
    if sent not in (None, f"Bearer {hub.token}"):
        raise HubError(401, "Invalid credentials in Authorization header")
    return sent is not None


def require_token(hub: HubStore, request: Request, code: str | None = "RepoNotFound") -> None:
    """Refuse who is not logged in.

    The real hub sends no code here: the client takes a 401 for a missing repository if its URL is one of a
    repository and https. The code makes it do the same with http.
    """
    if not authenticated(hub, request):
        raise HubError(401, "Invalid username or password.", code)


def readable(hub: HubStore, request: Request) -> Repository:
    """Return the repository of a request; to who is not logged in, a private one is as good as missing."""
    repo_type = request.fields["kind"].removesuffix("s") or "model"
    try:
        repository = hub.repository(request.fields["repo"], repo_type)
    except HubError:
        require_token(hub, request)
        raise
    if not authenticated(hub, request) and repository.private:
        require_token(hub, request)
    return repository


def writable(hub: HubStore, request: Request) -> Repository:
    require_token(hub, request)
    return readable(hub, request)


def create_repo(hub: HubStore, request: Request) -> Response:
    require_token(hub, request, code=None)
    asked = request.json
    repo_id = f"{asked.get('organization') or hub.user}/{asked['name']}"
    private = asked.get("visibility") == "private" or asked.get("private") is True
    repository = Repository(repo_id, asked.get("type", "model"), private)
    url = f"{request.url}/{repository.url_path}"
    try:
        hub.create(repository)
    except HubError as error:
        error.details["url"] = url  # the client reads it after a 409 too, if told exist_ok
        raise
    return as_json({"url": url, "name": repo_id, "private": private})


def whoami(hub: HubStore, request: Request) -> Response:
    require_token(hub, request, code=None)
    return as_json({"type": "user", "name": hub.user, "orgs": []})


def agent_harnesses(hub: HubStore, request: Request) -> Response:
    """Name no coding agents; the client asks before its first request, whatever is said about telemetry."""
    return as_json({"standardEnvVars": [], "harnesses": {}})


def validate_yaml(hub: HubStore, request: Request) -> Response:
    """Accept the metadata of any model card."""
    return as_json({"errors": [], "warnings": []})


def repo_info(hub: HubStore, request: Request) -> Response:
    repository = readable(hub, request)
    commit = repository.at(request.fields["revision"] or "main")
    gated = "manual" if repository.gated else False
    facts = {"id": repository.repo_id, "sha": commit.oid, "private": repository.private, "gated": gated}
    return as_json({**facts, "tags": [], "siblings": [{"rfilename": path} for path in commit.blobs]})


def list_tree(hub: HubStore, request: Request) -> Response:
    """List the files and folders below a folder, or only those in it; all on one page."""
    blobs = readable(hub, request).at(request.fields["revision"]).blobs
    top = PurePosixPath(request.fields["path"])
    recursive = request.query.get("recursive", "").lower() in ("1", "true")
    entries: dict[str, dict[str, Any]] = {}
    for path, blob in blobs.items():
        folders = [folder for folder in PurePosixPath(path).parents if top in folder.parents]
        for folder in reversed(folders if recursive else folders[-1:]):
            entries[str(folder)] = {"type": "directory", "path": str(folder), "oid": "0" * 40, "size": 0}
        if top in PurePosixPath(path).parents and (recursive or not folders):
            entries[path] = blob.entry(path)
    if not entries and request.fields["path"]:
        raise HubError(404, f"{top} does not exist", "EntryNotFound")
    return as_json(list(entries.values()))


def resolve_file(hub: HubStore, request: Request) -> Response:
    """Send a regular file, or where the storage has a large one."""
    repository = readable(hub, request)
    if repository.gated and not authenticated(hub, request):
        raise HubError(401, f"Access to {repository.repo_id} is restricted. Please log in.", "GatedRepo")
    commit = repository.at(request.fields["revision"])
    known = {"X-Repo-Commit": commit.oid}
    blob = commit.blobs.get(request.fields["path"])
    if blob is None:
        error = HubError(404, "Entry not found", "EntryNotFound")
        error.headers |= known  # the client remembers that this commit lacks the file
        raise error
    if not blob.lfs:
        return sent(request, blob.content, known | {"ETag": f'"{blob.oid}"'})
    location = (
        f"{request.storage_url}/{blob.sha256}/{quote(request.fields['path'])}?signature={hub.signature}"
    )
    linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
    return Response(status=302, headers=known | linked | {"Location": location})


def sent(request: Request, content: bytes, headers: Mapping[str, str]) -> Response:
    """Send a file, or the part of it that the client asks for, to resume a download."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or "")
    if asked is None:
        return Response(content, headers={"Accept-Ranges": "bytes", **headers})
    first, size = int(asked[1]), len(content)
    last = min(int(asked[2] or size - 1), size - 1)
    if first > last:
        raise HubError(416, f"No bytes {first}-{last} among {size}")
    part = {"Content-Range": f"bytes {first}-{last}/{size}"}
    return Response(content[first : last + 1], 206, {**headers, **part})


def preupload(hub: HubStore, request: Request) -> Response:
    """Say of each file how to upload it, and what its path holds now."""
    blobs = writable(hub, request).at(request.fields["revision"]).blobs
    files = []
    for file in request.json["files"]:
        lfs = is_lfs(file["path"], base64.b64decode(file["sample"]), file["size"])
        oid = blobs[file["path"]].etag if file["path"] in blobs else None
        mode = "lfs" if lfs else "regular"
        files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return as_json({"files": files})


def create_commit(hub: HubStore, request: Request) -> Response:
    """Apply a commit: lines of JSON, the first one a header and the others an operation each."""
    repository = writable(hub, request)
    branch = request.fields["revision"]
    if branch not in repository.branches or "create_pr" in request.query:
        raise HubError(400, "This hub commits to the head of a branch only")
    header, *operations = (json.loads(line) for line in request.body.splitlines())
    head = repository.at(branch)
    if header["value"].get("parentCommit", head.oid) != head.oid:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    blobs = dict(head.blobs)
    for operation in operations:
        apply_operation(hub, blobs, operation["key"], operation["value"])
    commit = repository.commit(header["value"]["summary"], blobs, branch)
    url = f"{request.url}/{repository.url_path}/commit/{commit.oid}"
    return as_json({"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""})


def apply_operation(hub: HubStore, blobs: dict[str, Blob], key: str, value: Mapping[str, str]) -> None:
    path = value["path"]
    if key == "file":
        blobs[path] = Blob(base64.b64decode(value["content"]))
    elif key == "lfsFile" and value["oid"] in hub.objects:
        blobs[path] = Blob(hub.objects[value["oid"]], lfs=True)
    elif key == "deletedFile" and path in blobs:
        del blobs[path]
    elif key == "deletedFolder":
        for name in [name for name in blobs if name.startswith(f"{path.rstrip('/')}/")]:
            del blobs[name]
    elif key == "deletedFile":
        raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
    else:
        raise HubError(400, f"Cannot apply {key} to {path}: not known, or its content was not uploaded")


def lfs_batch(hub: HubStore, request: Request) -> Response:
    """Say where to upload large files (https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md)."""
    repository = writable(hub, request)
    verify = {"href": f"{request.url}/{repository.url_path}.git/info/lfs/objects/verify"}
    objects = []
    for wanted in request.json["objects"]:
        described = {"oid": wanted["oid"], "size": wanted["size"]}
        if wanted["oid"] not in hub.objects:  # no actions: there is nothing to upload
            upload = {"href": f"{request.storage_url}/{wanted['oid']}?signature={hub.signature}"}
            described["actions"] = {"upload": upload, "verify": verify}
        objects.append(described)
    return as_json({"transfer": "basic", "objects": objects})


def lfs_verify(hub: HubStore, request: Request) -> Response:
    writable(hub, request)
    claimed = request.json
    if len(hub.objects.get(claimed["oid"], b"")) != claimed["size"]:
        raise HubError(404, f"No object {claimed['oid']} of {claimed['size']} bytes")
    return as_json({})


def storage_get(hub: HubStore, request: Request) -> Response:
    require_signature(hub, request)
    if request.fields["oid"] not in hub.objects:
        raise HubError(404, "No such object")
    return sent(request, hub.objects[request.fields["oid"]], {"ETag": f'"{request.fields["oid"]}"'})


def storage_put(hub: HubStore, request: Request) -> Response:
    require_signature(hub, request)
    if Blob(request.body).sha256 != request.fields["oid"]:
        raise HubError(400, "The content does not have the sha256 of its name")
    hub.objects[request.fields["oid"]] = request.body
    return Response()


def require_signature(hub: HubStore, request: Request) -> None:
    """Refuse a URL without its signature and, as S3 does, one that comes with a token."""
    if "Authorization" in request.headers:
        raise HubError(400, "Only one way to authenticate is allowed")
    if request.query.get("signature") != hub.signature:
        raise HubError(403, "Access denied")


def as_json(data: object) -> Response:
    return Response(json.dumps(data).encode(), headers={"Content-Type": "application/json"})


NAME = r"(?P<repo>[\w.-]+(?:/[\w.-]+)?)"
API = rf"/api/(?P<kind>models|datasets|spaces)/{NAME}"
REPO = rf"/(?:(?P<kind>datasets|spaces)/)?{NAME}"
REVISION = r"(?P<revision>[^/]+)"
OID = r"(?P<oid>[0-9a-f]{64})"
ROUTES: tuple[tuple[str, str, Callable[[HubStore, Request], Response]], ...] = (
    ("POST", "/api/repos/create", create_repo),
    ("GET", "/api/whoami-v2", whoami),
    ("GET", "/api/agent-harnesses", agent_harnesses),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("GET", rf"{API}/tree/{REVISION}(?:/(?P<path>.+))?", list_tree),
    ("POST", rf"{API}/preupload/{REVISION}", preupload),
    ("POST", rf"{API}/commit/{REVISION}", create_commit),
    ("GET", rf"{API}(?:/revision/{REVISION})?", repo_info),
    ("POST", rf"{REPO}\.git/info/lfs/objects/batch", lfs_batch),
    ("POST", rf"{REPO}\.git/info/lfs/objects/verify", lfs_verify),
    ("GET", rf"/storage/{OID}/.+", storage_get),
    ("PUT", rf"/storage/{OID}", storage_put),
    ("GET", rf"{REPO}/resolve/{REVISION}/(?P<path>.+)", resolve_file),
)
