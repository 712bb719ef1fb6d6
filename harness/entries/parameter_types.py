"""Values that somebody gives an entry's parameters: whether they are of the kind that its defaults are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.support.errors import USAGE, BenchError


def require_types(entry: Entry, given: Mapping[str, Any]) -> None:
    """Refuse a value of another kind than the parameter's default, such as a text where a number is expected.

    Nothing is known of a parameter whose default is ``None``, nor of one that ``unlearn`` does not take, which
    :meth:`Entry.with_parameters` refuses.

    Raises:
        BenchError: names the first such value.
    """
    for name, value in given.items():
        default = entry.defaults.get(name)
        rule = entry.search_space.get(name)
        whole = isinstance(rule, list | tuple) and bool(rule) and rule[0] == "int"
        expected = "a whole number" if whole else _kind(default)
        if default is None or _kind(value) == expected or (expected, _kind(value)) == ("a number", "a whole number"):
            continue
        if expected == "a whole number" and not whole and _kind(value) == "a number":
            continue  # a rate may have the default 1
        raise BenchError(
            f"{entry.name}: {name} is {value!r}, {_kind(value)}, and its default {default!r} is {_kind(default)}",
            "your command",
            f"give {expected}: --set {name}={default!r}",
            USAGE,
        )


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a number" if math.isfinite(value) else "not a finite number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
