"""A Hugging Face Hub as far as its client needs one to list, write and read one repository or bucket."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "someone/references"
LARGE = 4096
"""Bytes from which a file goes through Git LFS."""


@dataclass
class Hub:
    """Models and data sets have one namespace here; every revision is ``main``."""

    files: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Uploaded through LFS, by SHA-256."""
    commits: list[list[str]] = field(default_factory=list)
    """The files of each."""
    most: int = 128
    """Commits before the host wants no more in this hour."""
    url: str = ""

    def get(self, path: str) -> Any:
        """JSON, or the bytes of a file, or nothing."""
        if re.fullmatch(rf"/api/(model|dataset)s/{REPOSITORY}(/revision/main)?", path):
            return {"id": REPOSITORY, "sha": "0" * 40, "siblings": [], "tags": [], "private": False, "downloads": 0}
        if found := re.fullmatch(rf"/api/(?:model|dataset)s/{REPOSITORY}/tree/main/?(.*)", path):
            below = [self._about(name) for name in sorted(self.files) if name.startswith(found[1])]
            return below or None
        if found := re.fullmatch(rf"/(?:datasets/)?{REPOSITORY}/resolve/main/(.+)", path):
            return self.files.get(found[1])
        return None

    def post(self, path: str, body: bytes) -> Any:
        if path.endswith("/preupload/main"):
            return {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
            }
        if path.endswith(".git/info/lfs/objects/batch"):
            wanted = json.loads(body)["objects"]
            action = {each["oid"]: {"upload": {"href": f"{self.url}/lfs/{each['oid']}"}} for each in wanted}
            return {"transfer": "basic", "objects": [{**each, "actions": action[each["oid"]]} for each in wanted]}
        if path.endswith("/paths-info/main"):
            names = json.loads(body)["paths"]
            return [self._about(name) for name in names if name in self.files]
        if path.endswith("/commit/main"):
            return self._commit([json.loads(line) for line in body.splitlines()])
        return None

    def _commit(self, lines: list[dict[str, Any]]) -> Any:
        if len(self.commits) >= self.most:
            return None
        names = []
        for line in lines:
            about = line["value"]
            if line["key"] == "file":
                self.files[about["path"]] = base64.b64decode(about["content"])
            elif line["key"] == "lfsFile":
                self.files[about["path"]] = self.objects[about["oid"]]
            else:
                continue
            names.append(about["path"])
        self.commits.append(names)
        return {"commitUrl": f"{self.url}/{REPOSITORY}/commit/{len(self.commits)}", "commitOid": "0" * 40}

    def _about(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(self.hub.get(unquote(urlsplit(self.path).path)))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._answer(self.hub.post(unquote(urlsplit(self.path).path), self._body()))

    def do_PUT(self) -> None:
        content = self._body()
        self.hub.objects[hashlib.sha256(content).hexdigest()] = content
        self._answer({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, found: Any) -> None:
        status, extra = 200, {}
        if found is None and self.path.endswith("/commit/main"):
            status, found = 429, {"error": "You have exceeded the rate limit for repository commits."}
        elif found is None:
            known = REPOSITORY in self.path
            extra = {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"}
            status, found = 404, {"error": "not found"}
        content = found if isinstance(found, bytes) else json.dumps(found).encode()
        if isinstance(found, bytes):
            extra = {"ETag": hashlib.sha1(found).hexdigest(), "X-Repo-Commit": "0" * 40, "Accept-Ranges": "bytes"}
            if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
                first, last = int(wanted[1]), int(wanted[2] or len(content) - 1)
                extra["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                status, content = 206, content[first : last + 1]
        self.send_response(status)
        for name, value in {**extra, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """The hub's URL, for ``HF_ENDPOINT``."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
