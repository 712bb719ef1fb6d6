"""Documents as the bytes of their files: JSON whose first key is the SHA-256 of the rest and of the document's place.

Older versions wrote documents without it. They are read, but nothing can tell whether they have changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

KEY = "document_sha256"
CORRECTABLE = 2**18
"""Bytes of the longest document in which :func:`corrected` looks for a changed bit, which takes minutes."""
_START = f'{{\n "{KEY}": "'.encode()
_END = len(_START) + 64
_HEX = re.compile(rb"[0-9a-f]{64}")
_DECODE = json.JSONDecoder().decode


def encode(place: str, content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a document.

    Args:
        place: its kind and name, ``kind/name``: a document that gets to another place is damaged as well.
        content: plain JSON.
    """
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    rest = (b'",' if content else b'"') + text[1:]
    return _START + _digest(place, rest) + rest


def decode(place: str, document: bytes) -> tuple[dict[str, Any], bool]:
    """Return the content of a document, and whether a digest vouches for it.

    Raises:
        ValueError: it has changed since it was written, or is no document.
    """
    if document.startswith(_START):
        if _digest(place, document[_END:]) != document[len(_START) : _END]:
            raise ValueError("it does not match its digest")
        content: dict[str, Any] = _DECODE(document.decode())
        del content[KEY]
        return content, True
    content = _DECODE(document.decode())
    if not isinstance(content, dict):
        raise ValueError("it is not an object")
    if KEY in content or _HEX.fullmatch(document, len(_START), _END):  # the key itself may be what has changed
        raise ValueError("it does not match its digest")
    return content, False


def corrected(place: str, document: bytes) -> bytes | None:
    """Return a document as it was written if a single bit of it has changed: its digest proves which one.

    ``None`` if more has changed, or if the document is too long to try every bit.
    """
    start, rest = document[:_END], document[_END:]
    digest = _digest(place, rest)
    if _differing_bits(start, _START + digest) == 1:
        return _START + digest + rest
    if not start.startswith(_START) or len(document) > CORRECTABLE:
        return None
    before, tried = hashlib.sha256(place.encode() + b"\n"), bytearray(rest)
    for index, byte in enumerate(rest):
        for bit in range(8):
            tried[index] = byte ^ (1 << bit)
            attempt = before.copy()
            attempt.update(memoryview(tried)[index:])
            if attempt.hexdigest().encode() == start[len(_START) :]:
                return start + bytes(tried)
        tried[index] = byte
        before.update(rest[index : index + 1])
    return None


def _differing_bits(one: bytes, other: bytes) -> int:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def _digest(place: str, rest: bytes) -> bytes:
    return hashlib.sha256(place.encode() + b"\n" + rest).hexdigest().encode()
