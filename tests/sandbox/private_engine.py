"""A container engine of the test's own, on a small disk of its own: to be killed, frozen and filled up."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.engine.client import connect

APART = ("unshare", "--net")
"""A network namespace of its own: without one, ``--bridge=none`` deletes the ``docker0`` of the machine's engine."""
PATIENCE = 120.0
"""Seconds that the engine may take to start or to end."""


class Unavailable(Exception):
    """No engine can be started here; says why."""


class PrivateEngine:
    """``dockerd`` with every folder below ``root``, in a network namespace of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.host = root, f"unix://{root}/engine.sock"
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        folders = [f"--{name}={self.root / name}" for name in ("data-root", "exec-root", "pidfile")]
        plain = ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        for stale in ("pidfile", "exec-root/containerd/containerd.pid"):  # of a killed one; its zombie looks alive
            (self.root / stale).unlink(missing_ok=True)
        with (self.root.parent / "engine.log").open("ab") as log:
            self._daemon = subprocess.Popen(
                [*APART, "dockerd", "-H", self.host, *folders, *plain], stdout=log, stderr=log
            )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self._daemon.poll() is None:
            with suppress(DockerException), self.client() as client:
                client.ping()
                return
            time.sleep(0.2)
        tail = (self.root.parent / "engine.log").read_text(errors="replace")[-2000:]
        raise Unavailable(f"a second dockerd does not start: {tail}")

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        client = docker.DockerClient(self.host, timeout=60)
        try:
            yield client
        finally:
            client.close()

    def containers(self) -> list[str]:
        with self.client() as client:
            return [container.name for container in client.containers.list(all=True)]

    def running(self) -> list[str]:
        with self.client() as client:
            return [container.name for container in client.containers.list(ignore_removed=True)]

    def send(self, what: signal.Signals) -> None:
        """A signal to the daemon alone; after SIGKILL it is gone, its containers are not."""
        assert self._daemon is not None
        self._daemon.send_signal(what)
        if what == signal.SIGKILL:
            self._daemon.wait()

    def stop(self) -> None:
        """End it and what runs in it."""
        if self._daemon is None:
            return
        if self._daemon.poll() is not None:  # killed by a test: only an engine ends its containers
            self.start()
        self._daemon.send_signal(signal.SIGCONT)
        with self.client() as client:
            for container in client.containers.list(all=True):
                container.remove(force=True)
        self._daemon.terminate()
        self._daemon.wait(PATIENCE)


@contextmanager
def private_engine(root: Path) -> Iterator[PrivateEngine]:
    """A running engine that holds the benchmark's smallest image, taken from the engine of this machine.

    Raises:
        Unavailable: no root, no ``dockerd``, no image.
    """
    if shutil.which("dockerd") is None:
        raise Unavailable("dockerd is not installed")
    root.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(root)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        raise Unavailable("mounting a file system for a second engine needs root")
    engine = PrivateEngine(root)
    try:
        engine.start()
        with connect() as shared, engine.client() as private:
            image = images.find(shared, (), "cpu")
            if image is None:
                raise Unavailable("there is no image; build it: bench image --variant lean")
            private.images.load(image.save(named=True))
        yield engine
    finally:
        engine.stop()
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place == str(root) or place.startswith(f"{root}/"):
                subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def skip_or_fail() -> Iterator[None]:
    """Where no second engine can be had: a loud skip, or a failure where BENCH_REQUIRE_DOCKER=1."""
    try:
        yield
    except Unavailable as error:
        if os.environ.get("BENCH_REQUIRE_DOCKER") == "1":
            pytest.fail(f"BENCH_REQUIRE_DOCKER=1, but: {error}")
        pytest.skip(f"FAILURES OF THE ENGINE ARE NOT TESTED: {error}")
