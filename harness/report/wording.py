"""Lists and counts in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return ``no settings``, ``1 setting`` or ``3 settings``; ``plural`` where it does not end in an added s."""
    return f"{count or 'no'} {noun if count == 1 else plural or f'{noun}s'}"
