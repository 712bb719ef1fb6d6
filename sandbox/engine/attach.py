"""Standard streams of a container over the engine's raw attach socket.

The streams are demultiplexed here rather than by a library: while a container floods its output, a client that stops
reading hangs ``kill``, ``wait`` and even ``inspect``. The owner of the socket can always shut it down first.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

import docker
from docker.errors import DockerException

from unlearn_bench.sandbox.types import Chunk

RECEIVE = 64 * 1024
SEND = 30.0
"""Seconds that a write may take."""
QUIET = 0.02
"""Seconds without data after which the output of a container is taken to be complete."""
REST = 1024 * 1024


class StreamError(DockerException):
    """The engine's stream is broken. Its headers come from the engine; a container fills only payloads."""


class Demultiplexer:
    """The engine's stream format: ``stream:1 | 0 0 0 | length:u32 BE | payload``, passed on piece by piece."""

    HEADER = struct.Struct(">BxxxI")
    SOURCES: Mapping[int, Literal["channel", "log"]] = {1: "channel", 2: "log"}

    def __init__(self) -> None:
        self._header = bytearray()
        self._source: Literal["channel", "log"] = "log"
        self._remaining = 0

    def feed(self, data: bytes) -> list[Chunk]:
        """Return the pieces of both streams in these bytes.

        Raises:
            StreamError: A header is malformed.
        """
        chunks: list[Chunk] = []
        rest = memoryview(data)  # a slice of bytes would be a copy: quadratic where a container writes single bytes
        while rest:
            if self._remaining == 0:
                missing = self.HEADER.size - len(self._header)
                self._header += rest[:missing]
                rest = rest[missing:]
                if len(self._header) == self.HEADER.size:
                    self._begin()
                continue
            piece, rest = bytes(rest[: self._remaining]), rest[self._remaining :]
            self._remaining -= len(piece)
            chunks.append((self._source, piece))
        return chunks

    def _begin(self) -> None:
        stream, self._remaining = self.HEADER.unpack(self._header)
        if stream not in self.SOURCES or any(self._header[1:4]):
            raise StreamError("the engine broke off the container's streams")
        self._header.clear()
        self._source = self.SOURCES[stream]


class Attached:
    """A container's streams. Attach before the container starts, so that nothing is missed."""

    def __init__(self, client: docker.DockerClient, container: str) -> None:
        streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        self._owner = client.api.attach_socket(container, params=streams)
        # the SDK hands out a file object around the socket, except over TLS and SSH
        self._socket: socket.socket = getattr(self._owner, "_sock", self._owner)
        self._demultiplexer = Demultiplexer()
        self._open = True

    def receive(self, timeout: float) -> list[Chunk] | None:
        """Return what arrives within ``timeout`` seconds; ``None`` once the container's streams have ended."""
        if not self._open:
            return None
        self._socket.settimeout(timeout)
        try:
            data = self._socket.recv(RECEIVE)
        except (TimeoutError, BlockingIOError):
            return []
        except ConnectionError:
            data = b""
        if not data:
            self._open = False
            return None
        return self._demultiplexer.feed(data)

    def send(self, data: bytes) -> None:
        """Write to the container's standard input."""
        self._socket.settimeout(SEND)
        self._socket.sendall(data)

    def rest(self) -> bytes:
        """Return the log that is still on its way, read briefly and in bounds, whatever a container floods."""
        rest, end = bytearray(), time.monotonic() + 10 * QUIET
        while len(rest) < REST and time.monotonic() < end and (chunks := self.receive(QUIET)):
            rest += b"".join(data for source, data in chunks if source == "log")
        return bytes(rest)

    def shut(self) -> None:
        """Shut the socket down: from then on it cannot block the engine."""
        self._open = False
        with suppress(OSError):  # the other side may have shut it down first
            self._socket.shutdown(socket.SHUT_RDWR)
        self._owner.close()
        self._socket.close()  # closing its file object leaves it open until the garbage collector comes
