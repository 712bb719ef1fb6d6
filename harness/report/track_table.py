"""The list of tracks for a terminal: grouped by what a track still needs, with what that costs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Protocol

from unlearn_bench.harness.report.text_table import GAP, Look, TextColumn, heading, total, wrapped
from unlearn_bench.harness.report.wording import counted
from unlearn_bench.harness.tracks.specification import Track

GROUPS = {
    "ready": "Ready: bench submit FILE --track NAME",
    "training": "Reference models are to be trained first: bench prepare NAME, which says how long that takes",
    "data": "The data set is to be fetched first, too: bench prepare NAME --download where its owners allow that, else "
    "put it into the folder BENCH_DATA (docs/tracks.md)",
}
"""Kinds of readiness in the order of the list, with what is to be done."""
LEAST_TITLE = 24
"""Characters that are worth showing of a title."""


class NeededTrack(Protocol):
    """What the list shows of a track."""

    @property
    def track(self) -> Track:
        """The track."""

    @property
    def readiness(self) -> str:
        """A key of ``GROUPS``."""

    @property
    def models(self) -> int:
        """How many reference models are missing."""


def table(tracks: Sequence[NeededTrack], look: Look) -> str:
    """Return the list; on a narrow terminal without seeds, access tiers, numbers of examples or titles."""
    ordered = sorted(tracks, key=lambda each: list(GROUPS).index(each.readiness))  # stable
    columns = _columns([each.track for each in ordered], [_cost(each) for each in ordered], look)
    lines = [heading(columns)]
    for group, what in GROUPS.items():
        members = [index for index, each in enumerate(ordered) if each.readiness == group]
        if members:
            lines += ["", *wrapped(what, look), *_lines(columns, members)]
    return "\n".join(lines)


def _columns(tracks: Sequence[Track], costs: Sequence[str], look: Look) -> list[TextColumn]:
    """Return the columns that fit: the title last, in what room is left."""
    columns = [TextColumn("track", [track.name for track in tracks]), TextColumn("to train", costs)]
    access = TextColumn("access", [track.protocol.access for track in tracks])
    if total([*columns, access]) <= look.width:
        columns.append(access)
    least = len(GAP) + LEAST_TITLE
    reserved = least if total(columns) + least <= look.width else 0
    wishes = [
        TextColumn("forget", [f"{track.splits.forget:,}" for track in tracks], right=True),
        TextColumn("retain", [f"{track.splits.retain:,}" for track in tracks], right=True),
        TextColumn("seeds", [str(track.protocol.seeds) for track in tracks], right=True),
    ]
    for wish in wishes:
        if total([*columns, wish]) + reserved <= look.width:
            columns.append(wish)
    if reserved:
        room = look.width - total(columns) - len(GAP)
        columns.append(
            TextColumn("title", [textwrap.shorten(track.analysis.title, room, placeholder=" …") for track in tracks])
        )
    return columns


def _lines(columns: Sequence[TextColumn], members: Sequence[int]) -> Iterator[str]:
    for index in members:
        yield GAP.join(column.text(column.cells[index]) for column in columns).rstrip()


def _cost(each: NeededTrack) -> str:
    epochs = counted(each.track.recipe.epochs, "epoch")
    return f"{counted(each.models, 'model')} × {epochs}" if each.models else "nothing"
