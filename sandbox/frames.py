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
    kind: bytes
    payload: bytearray


def header(kind: bytes, length: int) -> bytes:
    """What precedes a payload of ``length`` bytes."""
    return HEADER.pack(kind, length)


def encode(kind: bytes, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return header(kind, len(payload)) + payload


class Parser:
    """Incremental parser that stores at most one payload, of at most its type's bound.

    ``bounds`` maps the frame types that are allowed to the longest payload of each, in bytes.
    """

    def __init__(self, bounds: Mapping[bytes, int]) -> None:
        self.bounds = dict(bounds)
        self._header = bytearray()
        self._payload = bytearray()
        self._expected: tuple[bytes, int] | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that the next bytes complete; raise ``ProtocolError`` at the first bad header."""
        frames, rest = [], memoryview(data)
        while rest or self._expected is not None:
            if self._expected is None:
                taken = HEADER.size - len(self._header)
                self._header += rest[:taken]
                rest = rest[taken:]
                if len(self._header) < HEADER.size:
                    break
                self._expected = self._admit()
            kind, length = self._expected
            taken = length - len(self._payload)
            self._payload += rest[:taken]
            rest = rest[taken:]
            if len(self._payload) < length:
                break
            frames.append(Frame(kind, self._payload))
            self._header, self._payload, self._expected = bytearray(), bytearray(), None
        return frames

    def _admit(self) -> tuple[bytes, int]:
        kind, length = HEADER.unpack(self._header)
        if kind not in self.bounds:
            raise ProtocolError(f"unknown frame type {kind!r}")
        if length > self.bounds[kind]:
            raise ProtocolError(f"a frame {kind!r} announces {length} bytes, at most {self.bounds[kind]} are allowed")
        return kind, length
