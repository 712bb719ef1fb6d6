"""The versions of an entry as text: a list of them, and what a run says that changed no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.tracks.specification import Track


def experiment(version: BoardEntry | None, standing: BoardEntry | None, track: Track) -> str:
    """Return what to say of a version that ran where another one stands; empty where it stands itself."""
    if version is None or standing is None or version.entry_id == standing.entry_id:
        return ""
    own, other = (f"{each.name}@{each.version}" for each in (version, standing))
    line = f"note: {own} is an experiment: the row of {version.name} is still {other}"
    if not version.complete(track):
        return f"{line}, and only a complete run can take it"
    return f"{line}; `bench promote {own}` makes it the row, `bench compare {own} {other}` compares the two"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows of the same keys as a table with the keys as its head."""
    keys = list(rows[0])
    widths = [max(len(key), *(len(row[key]) for row in rows)) for key in keys]
    lines = [dict(zip(keys, keys, strict=True)), *rows]
    return "\n".join("  ".join(f"{line[k]:<{w}}" for k, w in zip(keys, widths, strict=True)).rstrip() for line in lines)
