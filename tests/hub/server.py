"""A stand-in for the Hugging Face hub on the loopback interface, for its real client.

It answers what `hf_hub_download` and `snapshot_download` ask: metadata and content of files (small
ones directly, large ones by a redirect to another host, as files in LFS are), lists of files, and
errors with the hub's codes; and what `create_repo` and `upload_folder` ask. It has no Xet. The
protocol is that of huggingface_hub 1.x and 2.x.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_stand_in"
LFS_BYTES = 10_000  # files from this size on are redirected

RESOLVE = re.compile(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)")
BATCH = re.compile(r"/(?:datasets/)?([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch")
UPLOAD = re.compile(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)/(preupload|commit)/main")
API = re.compile(r"/api/(models|datasets)/([\w.-]+/[\w.-]+)(?:/(revision|tree)/([^/?]+)(.*))?")


@dataclass
class Repository:
    """A repository with one commit. gated: files are for the holder of `TOKEN` only."""

    commit: str
    files: Mapping[str, bytes]
    gated: bool = False


@dataclass
class Hub:
    """What the stand-in serves and how it fails.

    repositories: by `datasets/owner/name`, or `owner/name` for a model. truncated: files of which
    only the first half is sent; declared: under the length of that half, or of the whole. requests:
    methods and paths that were asked for.
    """

    repositories: dict[str, Repository]
    truncated: set[str] = field(default_factory=set)
    breaks_off: bool = False
    status: int = 0  # of every answer, where not 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)  # uploaded content by sha256
    endpoint: str = ""
    storage: str = ""

    def downloads(self) -> list[str]:
        """Return the files whose content was asked for."""
        paths = [path for method, path in self.requests if method == "GET"]
        return [path.rpartition("/")[2] for path in paths if not path.startswith("/api/")]


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_POST(self) -> None:
        content, path = self.body(), unquote(urlsplit(self.path).path)
        self.hub.requests.append(("POST", path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.fail(401, "", "Invalid username or password.")
        elif path == "/api/validate-yaml":
            self.send_json({"warnings": [], "errors": []})
        elif path == "/api/repos/create":
            self.create(json.loads(content))
        elif matched := BATCH.fullmatch(path):
            self.take_large(json.loads(content))
        elif matched := UPLOAD.fullmatch(path):
            kind, name, what = matched.groups()
            key = f"datasets/{name}" if kind == "datasets" else name
            if what == "preupload":
                self.choose_modes(json.loads(content))
            else:
                self.commit(key, content)
        else:
            self.fail(404, "EntryNotFound", "not part of the stand-in")

    def do_PUT(self) -> None:
        content = self.body()
        self.hub.requests.append(("PUT", self.path))
        self.hub.large[hashlib.sha256(content).hexdigest()] = content
        self.send(200, b"", {"ETag": '"taken"'}, with_body=False)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def create(self, asked: Mapping[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        key = f"datasets/{name}" if asked.get("type") == "dataset" else name
        if key in self.hub.repositories:
            self.send_json({"url": f"{self.hub.endpoint}/{key}"}, 409)
            return
        self.hub.repositories[key] = Repository("0" * 40, {}, gated=bool(asked.get("private")))
        self.send_json({"url": f"{self.hub.endpoint}/{key}"})

    def choose_modes(self, asked: Mapping[str, Any]) -> None:
        files = [
            {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            for file in asked["files"]
            for mode in ["lfs" if file["size"] >= LFS_BYTES else "regular"]
        ]
        self.send_json({"files": files})

    def take_large(self, asked: Mapping[str, Any]) -> None:
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self.hub.storage}/put/{wanted['oid']}"}}}
            if wanted["oid"] not in self.hub.large
            else wanted
            for wanted in asked["objects"]
        ]
        self.send_json({"transfer": "basic", "objects": objects})

    def commit(self, key: str, content: bytes) -> None:
        files = dict(self.hub.repositories[key].files)
        for line in content.splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif said["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        names = json.dumps({f: hashlib.sha256(c).hexdigest() for f, c in sorted(files.items())})
        commit = hashlib.sha1(names.encode()).hexdigest()
        self.hub.repositories[key] = Repository(commit, files, self.hub.repositories[key].gated)
        url = f"{self.hub.endpoint}/{key}/commit/{commit}"
        self.send_json({"success": True, "commitOid": commit, "commitUrl": url})

    def send_json(self, content: object, status: int = 200) -> None:
        headers = {"Content-Type": "application/json"}
        self.send(status, json.dumps(content).encode(), headers, with_body=True)

    def answer(self, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path))
        if self.hub.status:
            self.fail(self.hub.status, "", "the stand-in fails")
        elif path.startswith("/lfs/"):
            self.send_lfs(path.removeprefix("/lfs/"), with_body)
        elif matched := RESOLVE.fullmatch(path):
            folder, name, revision, file = matched.groups()
            if repository := self.admitted(f"{folder or ''}{name}", revision, secret=True):
                self.send_file(repository, file, with_body)
        elif matched := API.fullmatch(path):
            self.list_files(*matched.groups())
        else:
            self.fail(404, "RepoNotFound", "Repository not found")

    def admitted(self, name: str, revision: str | None, secret: bool) -> Repository | None:
        """Return the repository, or send the error that the hub sends."""
        repository = self.hub.repositories.get(name)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None:
            self.fail(404 if known else 401, "RepoNotFound", "Repository not found")
        elif repository.gated and secret and not known:
            text = f"Access to {name} is restricted. You must be authenticated to access it."
            self.fail(401, "GatedRepo", text)
        elif revision not in (None, "main", repository.commit):
            self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repository
        return None

    def send_file(self, repository: Repository, file: str, with_body: bool) -> None:
        content = repository.files.get(file)
        if content is None:
            self.fail(404, "EntryNotFound", "Entry not found", repository.commit)
            return
        digest = hashlib.sha256(content).hexdigest()
        about = {"X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
        if len(content) < LFS_BYTES:
            self.send_content(content, {**about, "ETag": f'"{digest[:40]}"'}, file, with_body)
            return
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{digest}"'}
        place = f"{self.hub.storage}/lfs/{digest}/{file}"
        self.send(302, b"", {**about, **linked, "Location": place}, with_body)

    def send_lfs(self, path: str, with_body: bool) -> None:
        digest, _, file = path.partition("/")
        for repository in self.hub.repositories.values():
            content = repository.files.get(file)
            if content is not None and hashlib.sha256(content).hexdigest() == digest:
                self.send_content(content, {"ETag": f'"{digest}"'}, file, with_body)
                return
        self.fail(404, "EntryNotFound", "Entry not found")

    def send_content(
        self, content: bytes, headers: dict[str, str], file: str, with_body: bool
    ) -> None:
        status = 200
        if matched := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start, size = int(matched[1]), len(content)
            headers |= {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
            status, content = 206, content[start:]
        if with_body and file in self.hub.truncated:
            whole, content = len(content), content[: len(content) // 2]
            declared = whole if self.hub.breaks_off else len(content)
            self.send(status, content, headers, with_body, declared)
            self.close_connection = True
        else:
            self.send(status, content, headers, with_body)

    def list_files(
        self, kind: str, name: str, what: str | None, revision: str | None, path: str | None
    ) -> None:
        key = f"datasets/{name}" if kind == "datasets" else name
        repository = self.admitted(key, revision, secret=False)
        if repository is None:
            return
        names = sorted(repository.files)
        if what == "tree":
            found: Any = [
                {
                    "type": "file", "path": file, "size": len(repository.files[file]),
                    "oid": hashlib.sha1(repository.files[file]).hexdigest(),
                }
                for file in names
            ]  # fmt: skip
        else:
            sizes = {file: len(repository.files[file]) for file in names}
            siblings = [{"rfilename": file, "size": size} for file, size in sizes.items()]
            found = {"id": name, "sha": repository.commit, "siblings": siblings}
        headers = {"Content-Type": "application/json", "X-Repo-Commit": repository.commit}
        self.send(200, json.dumps(found).encode(), headers, with_body=True)

    def fail(self, status: int, code: str, message: str, commit: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        stated = {key: value for key, value in headers.items() if value}
        self.send(status, b"", stated, with_body=False)

    def send(
        self,
        status: int,
        content: bytes,
        headers: Mapping[str, str],
        with_body: bool,
        declared: int | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content) if declared is None else declared))
        self.end_headers()
        if with_body:
            self.wfile.write(content)


@contextmanager
def serve(repositories: Mapping[str, Repository]) -> Iterator[Hub]:
    """Serve repositories until the block ends; `endpoint` is for HF_ENDPOINT."""
    hub = Hub(dict(repositories))
    handler = type("HandlerOfHub", (Handler,), {"hub": hub})
    with ExitStack() as stack:
        hub.endpoint = stack.enter_context(_listening("127.0.0.1", handler))
        hub.storage = stack.enter_context(_listening("127.0.0.2", handler))
        yield hub


@contextmanager
def _listening(host: str, handler: type[Handler]) -> Iterator[str]:
    server = ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
