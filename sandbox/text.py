"""Untrusted bytes made fit to be shown: bounded, and without control characters."""

from __future__ import annotations

import re
import unicodedata

TAIL = 4096
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")

_LINE_ENDS = re.compile("\r\n|[\r\x85\u2028\u2029]")


def clean(text: str) -> str:
    """Remove terminal escapes and every control, format and private character except newline and tab."""
    text = _LINE_ENDS.sub("\n", _ESCAPES.sub("", text))
    return "".join(c for c in text if c in "\n\t" or not unicodedata.category(c).startswith("C"))


def tail(data: bytes, size: int = TAIL) -> str:
    """Return the last ``size`` bytes of a log as clean text (at most ``size`` bytes in UTF-8)."""
    text = clean(data[-4 * size :].decode(errors="replace")).encode()
    return text[-size:].decode(errors="ignore").strip("\n")


def one_line(text: str, size: int = 300) -> str:
    """Return clean text on one line of at most ``size`` characters."""
    line = " ".join(clean(text[: 4 * size]).split())
    return line if len(line) <= size else line[: size - 1] + "…"


class Log:
    """The newest ``limit`` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Append what arrived."""
        self._data += data
        # trimmed only occasionally: moving 64 KiB per line would be slow under a flood
        if len(self._data) > 4 * self.limit:
            del self._data[: -self.limit]

    def __bytes__(self) -> bytes:
        return bytes(self._data[-self.limit :])
