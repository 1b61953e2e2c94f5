"""A small Hugging Face Hub on loopback: the endpoints that huggingface_hub 2.4 uses to push and to fetch, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

GOOD, EXPIRED = "hf_" + "g" * 34, "hf_" + "e" * 34


@dataclass
class Repo:
    """Commits from first to last, each with all its files; a branch `main` at the last."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str) -> str:
        number = f"{len(self.commits)}{message}".encode() + b"".join(name.encode() + data for name, data in files.items())
        oid = hashlib.sha1(number).hexdigest()
        self.commits[oid] = files
        self.messages.append(message)
        return oid

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def at(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None


@dataclass
class Hub:
    """What the server holds and what was asked of it.

    Attributes:
        requests: Method and path of each request. puts: Bytes of large files as they were received.
        cut: Connections of the next so many uploads of large files are closed after some bytes.
        lies: Sizes to state for files by name, whatever they have.
    """

    address: str = ""
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    puts: list[int] = field(default_factory=list)
    cut: int = 0
    refuse_commits: int = 0
    lies: dict[str, int] = field(default_factory=dict)

    def seed(self, name: str, files: dict[str, bytes] | Path, kind: str = "model", private: bool = False) -> Repo:
        """Puts a repository there as if others had."""
        if isinstance(files, Path):
            files = {file.name: file.read_bytes() for file in sorted(files.iterdir()) if file.is_file()}
        repo = self.repos[kind, name] = Repo(private)
        repo.commit({".gitattributes": b"", **files}, "seed")
        return repo


def _is_large(name: str, size: int) -> bool:
    return size > 10_000_000 or name.endswith(".safetensors")


_KINDS = {"models": "model", "datasets": "dataset"}
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(preupload|commit|revision)/([^/?]+))?$")
_TREE = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/?]+)(/.+)?$")
_BATCH = re.compile(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch$")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are written one after the other, and the second would wait for the first to be acknowledged.
    disable_nagle_algorithm = True
    hub: Hub

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _json(self, status: int, value: Any, **headers: str) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _error(self, status: int, message: str, code: str = "") -> None:
        self._json(status, {"error": message}, X_Error_Message=message, **({"X_Error_Code": code} if code else {}))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _user(self) -> str | None:
        """Who asks; None for nobody, and the empty string if the token is not accepted."""
        said = self.headers.get("Authorization")
        if said is None:
            return None
        token = said.removeprefix("Bearer ")
        self.hub.tokens.append(token)
        return "someone" if token == GOOD else ""

    def _repo(self, kind: str, name: str) -> Repo | None:
        """A repository that the asker may see; otherwise the error has been sent."""
        user, repo = self._user(), self.hub.repos.get((kind, name))
        if user == "":
            self._error(401, "User Access Token is expired")
            return None
        if repo is None or (repo.private and user != name.split("/")[0]):
            self._error(404 if user else 401, "Repository not found", "RepoNotFound")
            return None
        return repo

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if self.command == "PUT":
            return self._put(path)
        if self.command in ("GET", "HEAD"):
            if found := _RESOLVE.match(path):
                return self._resolve("dataset" if found[1] else "model", found[2], found[3], found[4])
            if found := _TREE.match(path):
                return self._tree(_KINDS[found[1]], found[2], found[3], found[4])
            if found := _API.match(path):
                return self._info(_KINDS[found[1]], found[2], found[4] or "main")
            return self._error(404, f"no endpoint {path}")
        body = self._body()
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return self._json(200, {"errors": [], "warnings": []})
        if found := _BATCH.match(path):
            return self._batch("dataset" if found[1] else "model", found[2], json.loads(body))
        if found := _API.match(path):
            work = {"preupload": self._preupload, "commit": self._commit}[found[3]]
            return work(_KINDS[found[1]], found[2], body)
        return self._error(404, f"no endpoint {path}")

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _create(self, asked: dict[str, Any]) -> None:
        user, kind, name = self._user(), asked.get("type") or "model", f"{asked['organization']}/{asked['name']}"
        if not user:
            return self._error(401, "User Access Token is expired" if user == "" else "Invalid username or password.")
        if asked["organization"] != user:
            return self._error(403, f"You don't have the rights to create a {kind} under the namespace {asked['organization']}")
        url = f"{self.hub.address}/{'datasets/' * (kind == 'dataset')}{name}"
        if (kind, name) in self.hub.repos:
            return self._json(409, {"error": "You already created this repo", "url": url})
        repo = self.hub.repos[kind, name] = Repo(asked.get("visibility") == "private")
        repo.commit({".gitattributes": b"* text=auto\n"}, "initial commit")
        return self._json(200, {"url": url, "name": name, "id": name})

    def _info(self, kind: str, name: str, revision: str) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        commit = repo.at(revision)
        if commit is None:
            return self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        siblings = [
            {"rfilename": path, "size": self.hub.lies.get(path, len(data)), "blobId": hashlib.sha1(data).hexdigest()}
            for path, data in repo.commits[commit].items()
        ]
        card = {"license": "apache-2.0"} if b"license: apache-2.0" in repo.commits[commit].get("README.md", b"") else None
        said = {
            "id": name,
            "sha": commit,
            "private": repo.private,
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
            "likes": 0,
        }
        return self._json(200, said | ({"cardData": card} if card else {}))

    def _tree(self, kind: str, name: str, revision: str, folder: str | None) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        commit = repo.at(revision)
        if commit is None:
            return self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if folder:
            return self._error(404, f"{folder} does not exist", "EntryNotFound")
        files = repo.commits[commit].items()
        return self._json(
            200,
            [{"type": "file", "path": p, "size": len(data), "oid": hashlib.sha1(data).hexdigest()} for p, data in files],
        )

    def _preupload(self, kind: str, name: str, body: bytes) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        files = []
        for file in json.loads(body)["files"]:
            large, known = _is_large(file["path"], file["size"]), repo.files.get(file["path"])
            oid = None
            if known is not None:
                blob = b"blob %d\0" % len(known) + known
                oid = hashlib.sha256(known).hexdigest() if large else hashlib.sha1(blob).hexdigest()
            mode = "lfs" if large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return self._json(200, {"files": files})

    def _batch(self, kind: str, name: str, asked: dict[str, Any]) -> None:
        if self._repo(kind, name) is None:
            return None
        objects = []
        for wanted in asked["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large:
                entry["actions"] = {"upload": {"href": f"{self.hub.address}/large/{wanted['oid']}"}}
            objects.append(entry)
        return self._json(200, {"transfer": "basic", "objects": objects})

    def _put(self, path: str) -> None:
        if self.hub.cut:
            self.hub.cut -= 1
            self.rfile.read(1000)
            # Half-way, and without a word.
            self.close_connection = True
            self.connection.close()
            return None
        data = self._body()
        self.hub.puts.append(len(data))
        self.hub.large[hashlib.sha256(data).hexdigest()] = data
        return self._json(200, {})

    def _commit(self, kind: str, name: str, body: bytes) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        if self.hub.refuse_commits:
            self.hub.refuse_commits -= 1
            return self._error(500, "Internal Error")
        files, message = dict(repo.files), ""
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        oid = repo.commit(files, message)
        return self._json(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{oid}", "commitOid": oid, "success": True})

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            return None
        commit = repo.at(revision)
        if commit is None:
            return self._error(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if path not in repo.commits[commit]:
            self.send_response(404)
            for header, text in {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit, "Content-Length": "0"}.items():
                self.send_header(header, text)
            return self.end_headers()
        data = repo.commits[commit][path]
        self.send_response(200)
        etag = hashlib.sha256(data).hexdigest()
        for header, text in {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Content-Length": str(len(data))}.items():
            self.send_header(header, text)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
        return None


@contextmanager
def serve() -> Iterator[Hub]:
    """A hub that answers on a free port of loopback until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
