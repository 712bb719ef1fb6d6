"""A container engine of a few lines, over a unix socket, that misbehaves where it is told to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.engine.attach import Demultiplexer
from unlearn_bench.sandbox.frames import HEADER, encode

IMAGE = "sha256:" + "1" * 64
CALLS = {
    "version": r"GET .*/version",
    "images": r"GET .*/images/json",
    "image": r"GET .*/images/.+/json",
    "info": r"GET .*/info",
    "create": r"POST .*/containers/create",
    "inspect": r"GET .*/containers/[^/]+/json",
    "list": r"GET .*/containers/json",
    "attach": r"POST .*/containers/[^/]+/attach",
    "start": r"POST .*/containers/[^/]+/start",
    "kill": r"POST .*/containers/[^/]+/kill",
    "wait": r"POST .*/containers/[^/]+/wait",
    "remove": r"DELETE .*/containers/[^/?]+",
}


class FakeEngine(ThreadingMixIn, UnixStreamServer):
    """``bad`` maps names of ``CALLS`` to what goes wrong: ``hang``, ``drip``, or the message of an error 500."""

    daemon_threads = True

    def __init__(self, path: Path, delivers: bytes | None) -> None:
        self.bad: dict[str, str] = {}
        self.delivers = delivers
        """The weights that its containers send; ``None``: they send nothing."""
        self.containers: dict[str, bool] = {}
        """Whether each runs, by name."""
        self.asked: dict[str, Any] = {}
        """The settings of the last container: it reads them back as they were asked for."""
        self.calls: list[str] = []
        self.info: dict[str, bool] = {}
        """What it says of itself beyond its version and runtimes."""
        self.started, self.over = threading.Event(), threading.Event()
        super().__init__(str(path), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None: ...  # clients that gave up are the point


class _Handler(BaseHTTPRequestHandler):
    server: FakeEngine
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None: ...

    def serve(self) -> None:
        line = f"{self.command} {self.path.partition('?')[0]}"
        name = next((name for name, pattern in CALLS.items() if re.fullmatch(pattern, line)), "")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if name == "create":
            self.server.asked = json.loads(body)
        self.server.calls.append(name)
        wrong = self.server.bad.get(name)
        if wrong == "hang":
            self.server.over.wait()
        elif wrong == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.over.wait(0.05):
                self.wfile.write(b"x")
        elif wrong is not None:
            self.answer({"message": wrong}, 500)
        elif name == "attach":
            self.attach()
        else:
            self.answer(self.reply(name), 404 if name == "" else 201 if name == "create" else 200)

    do_GET = do_POST = do_DELETE = serve

    def reply(self, name: str) -> Any:
        containers = self.server.containers
        if name == "create":
            self.server.started.clear()
            containers[self.path.partition("name=")[2]] = False
        elif name in ("start", "kill"):
            containers.update(dict.fromkeys(containers, name == "start"))
            self.server.started.set()
        elif name == "remove":
            containers.pop(self.path.partition("?")[0].rpartition("/")[2], None)
        labels = {images.PACKAGES_LABEL: "torch numpy"}
        state = {"Pid": 2**22 + 1, "Running": any(containers.values()), "ExitCode": 137, "OOMKilled": False}
        return {
            "version": {"ApiVersion": "1.41"},
            "images": [{"Id": IMAGE}],
            "image": {"Id": IMAGE, "Size": 1, "Config": {"Labels": labels}},
            "info": {"ServerVersion": "fake", "DefaultRuntime": "runc", "Runtimes": {"runc": {}}} | self.server.info,
            "create": {"Id": "c" * 64, "Warnings": []},
            "inspect": {"Id": "c" * 64, "State": state, **read_back(self.server.asked)},
            "list": [],
            "wait": {"StatusCode": 137},
        }.get(name, {})

    def answer(self, content: Any, status: int) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def attach(self) -> None:
        self.close_connection = True
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "tcp")
        self.end_headers()
        self.server.started.wait()  # as a container says nothing before it runs
        self.say(encode(b"R", b'{"torch": "fake"}'))
        if self.rfile.read(HEADER.size) and self.server.delivers is not None:
            self.say(encode(b"W", self.server.delivers))
        self.rfile.read(1)

    def say(self, data: bytes) -> None:
        self.wfile.write(Demultiplexer.HEADER.pack(1, len(data)) + data)
        self.wfile.flush()


def read_back(asked: dict[str, Any]) -> dict[str, Any]:
    """What ``inspect`` says of a container that was made as ``asked``."""
    host = asked.get("HostConfig", {})
    mounts = [
        {"Type": m["Type"], "Destination": m["Target"], "RW": not m["ReadOnly"], **m["BindOptions"]}
        for m in host.get("Mounts", [])
    ]
    return {
        "Config": asked,
        "HostConfig": {"Runtime": "runc", **host},
        "Image": asked.get("Image"),
        "Mounts": mounts,
        "NetworkSettings": {"Networks": {"none": {}}},
    }


@contextmanager
def fake_engine(path: Path, delivers: bytes | None) -> Iterator[FakeEngine]:
    """A fake engine that listens at ``path`` until the end of the block."""
    with FakeEngine(path, delivers) as engine:
        threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield engine
        finally:
            engine.over.set()
            engine.started.set()
            engine.shutdown()
