"""``bench show`` and ``bench compare``: entries that have run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.board_entries import BoardEntry, find
from unlearn_bench.harness.results.comparison import PairedTest, comparison, paired_tests
from unlearn_bench.harness.results.entry_details import EntryDetails, PublicDetails, entry_details, public_details
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.scoring.paired import PairedDifference


def show(name: str, track: str, secret: Path | None = None, *, organiser: bool = False) -> EntryDetails | PublicDetails:
    """Return everything about an entry; on a sealed track only what participants may see.

    Args:
        name: of the entry on the board, or ``NAME@VERSION``.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        organiser: return everything about it also on a sealed track.

    Raises:
        BenchError: unknown track, or no such entry there.
    """
    references = References(load_track(track, secret), Store())
    if references.track.sealed and not organiser:
        return public_details(references, name)
    return entry_details(references, name)


@dataclass(frozen=True)
class Comparison:
    """The differences between two entries of a track, ``a`` − ``b``."""

    a: str
    b: str
    track: str
    differences: list[PairedDifference]


def compare(a: str, b: str, track: str, secret: Path | None = None) -> Comparison:
    """Return the differences between two entries with 95 % intervals, paired by seed.

    U-LiRA is paired by pair of shadow splits.

    Args:
        a: name of an entry on the board, or ``NAME@VERSION``.
        b: the same of another one.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.

    Raises:
        BenchError: unknown track or entry, or no finished seed in common.
    """
    references = References(load_track(track, secret), Store())
    differences = comparison(references, *(_called(references, name) for name in (a, b)))
    return Comparison(a, b, references.track.name, differences)


def compare_all(names: Sequence[str], tracks: Sequence[str], secret: Path | None = None) -> list[PairedTest]:
    """Return paired tests of every pair of entries, by every metric, on every track; see :func:`paired_tests`.

    Args:
        names: of two entries or more, each on the board of every track.
        tracks: names of tracks, or paths of TOML files.
        secret: of sealed tracks; default: ``BENCH_SECRETS``.

    Raises:
        BenchError: fewer than two different entries, an unknown track or entry, or two entries of a track without a
            finished seed in common.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        what = f"cannot compare {', '.join(names) or 'nothing'}"
        raise BenchError(what, "your command", "name two different entries or more", USAGE)
    boards = []
    for track in dict.fromkeys(tracks):
        references = References(load_track(track, secret), Store())
        boards.append((references, [_called(references, name) for name in names]))
    return paired_tests(boards)


def _called(references: References, name: str) -> BoardEntry:
    """Return the entry or version of this name, under the name that the user gave it."""
    return replace(find(references, name), name=name)
