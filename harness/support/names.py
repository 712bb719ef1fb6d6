"""Names that somebody typed and that do not exist: what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return a question that names the most similar of the allowed names, to be put before a remedy; else nothing."""
    by_case = {each.casefold(): each for each in allowed}
    if name in by_case.values():
        return ""
    similar = get_close_matches(name.casefold(), by_case, n=1)
    return f"did you mean {by_case[similar[0]]}? " if similar else ""
