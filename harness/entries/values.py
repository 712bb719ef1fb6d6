"""Values that come from a file or a command line, within bounds that every store, table and page can hold."""

from __future__ import annotations

import math

from unlearn_bench.harness.support.text import HIDDEN, named

CHARACTERS = 400
"""The longest text."""
ITEMS = 64
"""The most items of a list or a table."""
DEPTH = 3
"""How deep lists and tables nest."""
REMEDY = f"use finite numbers of 64 bits, text of at most {CHARACTERS} characters, and short lists of these"


def fault(value: object, depth: int = DEPTH) -> str:
    """Return why a value cannot be kept, such as "is not finite"; empty if it can be.

    ``depth``: how many levels of lists and tables it may have.
    """
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, int):
        return "" if -(2**63) <= value < 2**63 else "has more than 64 bits"
    if isinstance(value, float):
        return "" if math.isfinite(value) else "is not finite"
    if not isinstance(value, list | tuple | dict):
        return f"is of the type {type(value).__name__}, not a number, text or list"
    if depth == 0:
        return f"nests more than {DEPTH} levels deep"
    if len(value) > ITEMS:
        return f"has {len(value):,} items, more than {ITEMS}"
    if not isinstance(value, dict):
        return next(filter(None, (fault(item, depth - 1) for item in value)), "")
    if not all(isinstance(key, str) for key in value):
        return "has a key that is not text"
    return next(filter(None, (fault(item, depth - 1) for item in (*value, *value.values()))), "")


def _text_fault(text: str) -> str:
    if len(text) > CHARACTERS:
        return f"has {len(text):,} characters, more than {CHARACTERS}"
    match = HIDDEN.search(text)
    return f"has the character {named(match[0])}" if match else ""
