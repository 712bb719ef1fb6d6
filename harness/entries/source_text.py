"""The text of a source: what a reviewer sees is what Python runs."""

from __future__ import annotations

import re

from unlearn_bench.harness.entries.faults import Fault
from unlearn_bench.harness.support.text import HIDDEN, named

COOKIE = re.compile(r"[ \t]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)
"""The declaration of an encoding (PEP 263), which Python looks for in the first two lines."""


def read(content: bytes) -> str:
    """Return the text of a source, with line feeds as its line ends.

    Raises:
        Fault: it is not UTF-8, it declares another encoding, or it has characters that editors hide.
    """
    try:
        text = content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise Fault(f"byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    if match := HIDDEN.search(text):
        raise Fault(
            f"line {text.count(chr(10), 0, match.start()) + 1} has the character {named(match[0])}, which editors "
            "hide or show in different ways",
            "remove it; inside a string write its escape sequence",
        )
    for number, line in enumerate(text.split("\n", 2)[:2], 1):
        match = COOKIE.match(line)
        if match and match[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
            raise Fault(f"line {number} declares the encoding {match[1]}", "save the file as UTF-8 and remove the line")
    return text
