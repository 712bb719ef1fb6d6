"""The one channel between host and sandbox: frames ``type:1 | length:u64 LE | payload`` in both directions.

This file is used on both sides. The host believes nothing that it parses: a length is bounded by its type
before a byte of the payload is stored.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

READY, GO, WEIGHTS, ERROR = b"R", b"G", b"W", b"E"
HEADER = struct.Struct("<cQ")


class ProtocolError(ValueError):
    """The bytes are not frames of the expected types and lengths."""


class Frame(NamedTuple):
    """One frame: its type and its payload."""

    kind: bytes
    payload: bytearray


def header(kind: bytes, length: int) -> bytes:
    """Return what precedes a payload of ``length`` bytes."""
    return HEADER.pack(kind, length)


def encode(kind: bytes, payload: bytes = b"") -> bytes:
    """Return one whole frame."""
    return header(kind, len(payload)) + payload


class Parser:
    """Read one frame from a stream that arrives in pieces, and store nothing beyond it.

    ``bounds`` maps the frame types that are allowed to the longest payload of each, in bytes.
    """

    def __init__(self, bounds: Mapping[bytes, int]) -> None:
        self.bounds = dict(bounds)
        self._header = bytearray()
        self._payload = bytearray()
        self._expected: tuple[bytes, int] | None = None

    def feed(self, data: bytes) -> tuple[Frame | None, int]:
        """Return the frame, once it is complete, and how many of these bytes belong to it; what follows is ignored.

        Raises:
            ProtocolError: a type or a length that is not allowed.
        """
        unread = memoryview(data)
        if self._expected is None:
            header_part = unread[: HEADER.size - len(self._header)]
            self._header += header_part
            unread = unread[len(header_part) :]
            if len(self._header) < HEADER.size:
                return None, len(data)
            self._expected = self._admit()
        kind, length = self._expected
        payload_part = unread[: length - len(self._payload)]
        self._payload += payload_part
        if len(self._payload) < length:
            return None, len(data)
        return Frame(kind, self._payload), len(data) - len(unread) + len(payload_part)

    def _admit(self) -> tuple[bytes, int]:
        kind, length = HEADER.unpack(self._header)
        if kind not in self.bounds:
            raise ProtocolError(f"unknown frame type {kind!r}")
        if length > self.bounds[kind]:
            raise ProtocolError(f"a frame {kind!r} announces {length} bytes, at most {self.bounds[kind]} are allowed")
        return kind, length
