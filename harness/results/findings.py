"""What the boards of several tracks say together: who is in the first group, who is found by whom, what changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from unlearn_bench.harness.results.board_entries import REFERENCES
from unlearn_bench.harness.results.track_boards import TrackBoard, architecture, data_set
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.agreement import Agreement, agreement
from unlearn_bench.scoring.board import LETTERS
from unlearn_bench.scoring.forgetting import Share

FAR = 2
"""Groups that a method moves at least to be named."""


@dataclass(frozen=True)
class Unseen:
    """A method that passes every cheap attack on a track and is found by a costly one."""

    method: str
    found: tuple[Share, ...]
    """Of U-LiRA and of probes, the strongest evidence first."""


@dataclass(frozen=True)
class CheapAttacks:
    """What the attacks that need one model and no training see on a track, and what they do not."""

    attacks: tuple[str, ...]
    """Titles of those that find Original."""
    costly: tuple[str, ...]
    """Titles of U-LiRA and of the probes that do."""
    methods: int
    clearing: tuple[str, ...]
    """Those of the cheap attacks that are precise enough to clear a retrained model."""
    passed: tuple[str, ...]
    """Methods of which no cheap attack's interval leaves out the null."""
    unseen: tuple[Unseen, ...]


@dataclass(frozen=True)
class SettingChange:
    """One track beside another one."""

    track: str
    differs: tuple[str, ...]
    """In which respects, each as ``what: one → the other``."""
    order: dict[str, Agreement]
    """How far the order of the methods is the same, by metric."""
    moved: dict[str, list[tuple[str, str, str]]]
    """By metric: methods that are at least two groups away, with both groups."""


def first_group(boards: Sequence[TrackBoard], metrics: Sequence[str]) -> dict[tuple[int, int], list[str]]:
    """Return methods by on how many of how many tracks they are in G1 by all of these metrics, the most first."""
    by_count: dict[tuple[int, int], list[str]] = {}
    letters = [pd.DataFrame({metric: board.letters(metric) for metric in metrics}).dropna() for board in boards]
    for name in sorted({str(name) for table in letters for name in table.index}):
        own = [bool((table.loc[name] == LETTERS[0]).all()) for table in letters if name in table.index]
        by_count.setdefault((sum(own), len(own)), []).append(name)
    return dict(sorted(by_count.items(), reverse=True))


def cheap_attacks(board: TrackBoard) -> CheapAttacks:
    """Return which methods with a row on a track pass the cheap attacks, and which of these are found all the same."""
    cheap = {attack.title for attack in panel.attacks_on("model")}
    letters = board.letters("forgetting").dropna()
    shares = {name: board.results.shares(name) for name in sorted(map(str, letters.index[letters != "F"]))}
    passed = [name for name, found in shares.items() if not any(_tells(s) for s in found if s.attack in cheap)]
    costly = {name: [share for share in shares[name] if share.attack not in cheap] for name in shares}
    unseen = (Unseen(name, tuple(filter(_tells, costly[name]))) for name in passed)
    titles = sorted({share.attack for found in shares.values() for share in found})
    return CheapAttacks(
        attacks=tuple(title for title in titles if title in cheap),
        costly=tuple(title for title in titles if title not in cheap),
        clearing=tuple(sorted({s.attack for found in shares.values() for s in found if s.clears} & cheap)),
        methods=len(shares),
        passed=tuple(passed),
        unseen=tuple(each for each in unseen if each.found),
    )


def _tells(share: Share) -> bool:
    return share.low > 0.0 or share.high < 0.0


def changes(first: TrackBoard, others: Sequence[TrackBoard], metrics: Sequence[str]) -> Iterator[SettingChange]:
    """Yield other tracks beside the first one."""
    for other in others:
        order, moved = {}, {}
        for metric in metrics:
            values = [board.order(metric).drop(list(REFERENCES), errors="ignore") for board in (first, other)]
            both = values[0].index.intersection(values[1].index)
            if (tau := agreement(values[0][both], values[1][both])) is not None:
                order[metric] = tau
            letters = pd.DataFrame({0: first.letters(metric), 1: other.letters(metric)}).dropna()
            pairs = [(str(name), str(a), str(b)) for name, a, b in letters.itertuples()]
            moved[metric] = [(n, a, b) for n, a, b in pairs if abs(LETTERS.index(a) - LETTERS.index(b)) >= FAR]
        yield SettingChange(other.name, tuple(_differs(first.track, other.track)), order, moved)


def _differs(first: Track, other: Track) -> Iterator[str]:
    """Yield in which respects two tracks differ that a reader should know of."""
    for title, of_track in (
        ("data set", data_set),
        ("network", architecture),
        ("F", lambda track: track.splits.forget_rule),
        ("images in R", lambda track: f"{track.splits.retain:,}"),
        ("images in F", lambda track: f"{track.splits.forget:,}"),
        ("requests", lambda track: track.protocol.requests),
        ("corruption", lambda track: track.corruption or "none"),
        ("epochs", lambda track: track.recipe.epochs),
    ):
        values = [str(of_track(track)) for track in (first, other)]
        if values[0] != values[1]:
            yield f"{title}: {' → '.join(values)}"
