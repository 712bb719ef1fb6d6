"""Text of strangers: the characters that nobody sees, and forms that are harmless in a terminal, a table or a page."""

from __future__ import annotations

import re
import unicodedata

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control characters but tab and line feed, direction marks, characters without width, other line ends, surrogates.

The joiners U+200C and U+200D are not among them: several scripts cannot be written without them.
"""
FORMULA = tuple("=+-@\t＝＋－＠")
"""What a cell begins with that a spreadsheet computes."""
HARMLESS = str.maketrans(
    {"`": "'", "<": "‹", ">": "›", "@": "＠", "#": "＃", "|": "¦", "[": "(", "]": ")", "&": "＆", "\\": "＼", "$": "＄"}
)  # fmt: skip
"""Characters to which some renderer of Markdown gives a meaning, and others that look alike."""


CONTROLS = {"\0": "NULL", "\x08": "BACKSPACE", "\x0c": "FORM FEED", "\r": "CARRIAGE RETURN", "\x1b": "ESCAPE"}


def named(character: str) -> str:
    """Return a character's code point and its name, such as ``U+202E RIGHT-TO-LEFT OVERRIDE``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, CONTROLS.get(character, ''))}".rstrip()


def visible(text: str) -> str:
    """Return text in which every hidden character is an escape sequence, for terminals and pages."""
    return HIDDEN.sub(lambda match: _escape(match[0]), text.replace("\r\n", "\n"))


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


def spreadsheet(text: str) -> str:
    """Return the text of a cell, with an apostrophe before what a spreadsheet would compute."""
    text = visible(text)
    return f"'{text}" if text.startswith(FORMULA) else text


def markdown(text: str) -> str:
    """Return text on one line in which nothing acts as Markdown or HTML: no mention, link, tag, code or cell."""
    line = " ".join(visible(text).split()).translate(HARMLESS)
    return line.replace("*", "∗").replace("~", "∼").replace("://", ":∕∕").replace("www.", "www․")
