"""What a hub keeps: repositories of commits of files, in memory; served by server.py.

There are no pull requests, tags nor rules of .gitignore.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

LFS_PATTERNS = ("*.bin", "*.gguf", "*.h5", "*.onnx", "*.pt", "*.pth", "*.safetensors", "*.zip")
LFS_THRESHOLD = 10_000_000  # bytes; a larger file is stored with Git LFS whatever its name
GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS
).encode()


class HubError(Exception):
    """A refusal; `code` is its X-Error-Code, from which the client chooses what it raises."""

    def __init__(self, status: int, message: str, code: str | None = None, **details: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.details = {"error": message, **details}


@dataclass(frozen=True)
class Blob:
    """The content of a file, stored by git or by Git LFS."""

    content: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def oid(self) -> str:
        """The git object id: of the content, or of the pointer that git stores in place of an LFS file."""
        stored = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    @property
    def pointer(self) -> bytes:
        """Its format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md."""
        size = len(self.content)
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {size}\n".encode()

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """Return the entry of the file in the listing of a tree."""
        size = len(self.content)
        entry = {"type": "file", "path": path, "oid": self.oid, "size": size}
        pointed = {"oid": self.sha256, "size": size, "pointerSize": len(self.pointer)}
        return entry | ({"lfs": pointed} if self.lfs else {})


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    parent: str | None
    blobs: Mapping[str, Blob]


@dataclass
class Repository:
    """A repository with branches; it begins with a commit of .gitattributes, as every one on the hub."""

    repo_id: str
    repo_type: str = "model"
    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commit("initial commit", {".gitattributes": Blob(GITATTRIBUTES)})

    @property
    def url_path(self) -> str:
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"

    def at(self, revision: str) -> Commit:
        """Return the head of a branch, or the commit with this full oid."""
        oid = self.branches.get(revision, revision)
        if oid not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return {path: blob.content for path, blob in self.at(revision).blobs.items()}

    def commit(self, title: str, blobs: Mapping[str, Blob], branch: str = "main") -> Commit:
        """Make `blobs` the whole content of a branch; a new branch starts from main."""
        parent = self.branches.get(branch, self.branches.get("main"))
        tree = {path: blobs[path].oid for path in sorted(blobs)}
        oid = hashlib.sha1(json.dumps([self.url_path, title, parent, tree]).encode()).hexdigest()
        self.commits[oid] = Commit(oid, title, parent, {path: blobs[path] for path in tree})
        self.branches[branch] = oid
        return self.commits[oid]


class HubStore:
    """Repositories and large files, and one user who may read and write all of them with `token`.

    Attributes:
        objects: What Git LFS stores, by sha256.
        signature: What a URL of the large files must carry.
    """

    def __init__(self, token: str = "secret", user: str = "owner") -> None:
        self.token = token
        self.user = user
        self.objects: dict[str, bytes] = {}
        self.signature = secrets.token_hex(8)
        self._repositories: dict[tuple[str, str], Repository] = {}

    def repository(self, repo_id: str, repo_type: str = "model") -> Repository:
        """Return a repository.

        Raises:
            HubError: if there is none.
        """
        if (repo_type, repo_id) not in self._repositories:
            raise HubError(404, "Repository not found", "RepoNotFound")
        return self._repositories[repo_type, repo_id]

    def create(self, repository: Repository) -> None:
        """Keep a new repository.

        Raises:
            HubError: if there is one of its name already.
        """
        key = (repository.repo_type, repository.repo_id)
        if key in self._repositories:
            raise HubError(409, f"You already created this {repository.repo_type} repo")
        self._repositories[key] = repository

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        *,
        private: bool = False,
        gated: bool = False,
        branch: str = "main",
    ) -> str:
        """Add files to a model in one commit, and return its oid; the repository is made if there is none."""
        if ("model", repo_id) not in self._repositories:
            self.create(Repository(repo_id, private=private, gated=gated))
        repository = self.repository(repo_id)
        head = repository.at(branch if branch in repository.branches else "main")
        blobs = {
            path: Blob(content, is_lfs(path, content[:512], len(content))) for path, content in files.items()
        }
        self.objects |= {blob.sha256: blob.content for blob in blobs.values() if blob.lfs}
        return repository.commit("add files", {**head.blobs, **blobs}, branch).oid


def is_lfs(path: str, sample: bytes, size: int) -> bool:
    """Whether Git LFS stores a file: for its name, for its size, or because its first bytes are no text."""
    named = any(fnmatch(PurePosixPath(path).name, pattern) for pattern in LFS_PATTERNS)
    return named or size > LFS_THRESHOLD or b"\0" in sample
