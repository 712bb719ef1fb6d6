"""Reading TOML files that people wrote, with whatever editor."""

from __future__ import annotations

import codecs
from pathlib import Path

from unlearn_bench.harness.support.errors import TrackError


def toml_text(path: Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte-order mark, and with any line ends.

    Raises:
        OSError: it cannot be read.
        TrackError: it has another encoding; nothing of it is quoted.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise TrackError(f"{path} is UTF-16, not UTF-8", "save it as UTF-8; in PowerShell: Out-File -Encoding utf8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrackError(f"{path} is not UTF-8: byte {error.start}", "save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
