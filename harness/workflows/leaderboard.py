"""``bench leaderboard``: the board of a track, and a site of the boards of several."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.report import figure_files
from unlearn_bench.harness.report.site import board_data
from unlearn_bench.harness.report.site.build import build
from unlearn_bench.harness.results import board, curves, paper_comparison
from unlearn_bench.harness.results.board_entries import find
from unlearn_bench.harness.results.paper_comparison import PaperComparison
from unlearn_bench.harness.results.track_boards import TrackBoard, track_board
from unlearn_bench.harness.store.store import Snapshot, Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.parallel import uncollected
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks import DEFAULT_TRACK
from unlearn_bench.harness.tracks.loading import load_track, track_names
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure
from unlearn_bench.harness.units.records import record_kind

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaderboard:
    """The board of a track, from what is stored."""

    references: References
    rows: pd.DataFrame
    """One per entry, see :func:`harness.results.board.board`."""

    @property
    def track(self) -> Track:
        """The track."""
        return self.references.track

    @cached_property
    def null(self) -> Mapping[str, float]:
        """Every metric between two retrained models."""
        return board.null(self.references)

    @cached_property
    def floor(self) -> float | None:
        """See :func:`harness.results.board.floor`."""
        return board.floor(self.references)

    @property
    def provenance(self) -> str:
        """Who trained imported reference models; empty where the benchmark did."""
        return self.references.provenance


def leaderboard(track: str, secret: Path | None = None, *, public: bool = False) -> Leaderboard:
    """Return the board of a track; nothing is run.

    Args:
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        public: rank only rows whose units come from trusted back ends.

    Raises:
        BenchError: unknown track, or a damaged store.
    """
    references = References(load_track(track, secret), Snapshot())
    return Leaderboard(references, board.board(references, public))


@dataclass(frozen=True)
class OverallBoard:
    """The board over several tracks, from what is stored."""

    rows: pd.DataFrame
    """One per entry that ran on every track, see :func:`harness.results.board.overall`."""
    comparison: PaperComparison


def overall_board(names: Sequence[str], secret: Path | None = None, *, public: bool = False) -> OverallBoard:
    """Return the board over several tracks, and the paper's tables beside it; nothing is run.

    Arguments and errors as :func:`read_boards`.
    """
    boards = read_boards(names, secret, public)
    rows = board.overall([each.results for each in boards], public)
    return OverallBoard(rows, paper_comparison.compare(boards))


def read_boards(names: Sequence[str], secret: Path | None, public: bool) -> list[TrackBoard]:
    """Read the boards of several tracks of one access tier.

    Args:
        names: tracks; none: all shipped ones that have records and give entries all of R, F and V.
        secret: of sealed tracks; default: ``BENCH_SECRETS``.
        public: rank only rows whose units come from trusted back ends.

    Raises:
        BenchError: unknown track, a damaged store, tracks of different access tiers, or no track has records.
    """
    chosen = [load_track(name, secret) for name in names] if names else _of_tiers(secret, full=True)
    if not chosen:
        remedy = "run `bench baselines --track NAME`, or name a track"
        raise BenchError("the store has no records of a track that counts", "your command", remedy, USAGE)
    board.one_tier(chosen)
    return _boards(chosen, public)


def boards_with_less_access(secret: Path | None, public: bool) -> list[TrackBoard]:
    """Read the boards of all shipped tracks that have records and give entries less of R, F or V."""
    return _boards(_of_tiers(secret, full=False), public)


def _boards(tracks: Sequence[Track], public: bool) -> list[TrackBoard]:
    return [track_board(each, public) for each in board_data.read(tracks, Snapshot(), public)]


def seed_rows(track: str) -> pd.DataFrame:
    """Return one row per entry and model seed of a track, in the form of ``scoring.seed_rows``; nothing is run.

    Raises:
        BenchError: unknown track, a damaged store, or a sealed track.
    """
    references = References(load_track(track), Snapshot())
    disclosure.not_public(references.track, "a single unit")
    return board.rows(references)


def entry_curves(name: str, track: str) -> dict[str, curves.Curves]:
    """Return the curves of an entry (``own``), and of the ``original`` and ``retrained`` models; nothing is run.

    Raises:
        BenchError: unknown track or entry, a sealed track, or an entry whose logits are not stored.
    """
    references = References(load_track(track), Snapshot())
    disclosure.not_public(references.track, "a curve of an entry")
    own = curves.entry_curves(references, find(references, name).records.values())
    if own is None:
        what = f"the store has no logits of {name} on {references.track.name}"
        raise BenchError(what, "your command", "run it here: curves need logits", USAGE)
    kinds: tuple[RoleKind, ...] = ("original", "retrained")
    by_kind = {str(kind): curves.reference_curves(references, kind) for kind in kinds}
    return {"own": own, **{kind: found for kind, found in by_kind.items() if found is not None}}


def write_figures(
    names: Sequence[str], folder: Path, secret: Path | None, observer: Observer, *, public: bool = False
) -> int:
    """Write every plot of the boards and entries of tracks as PDF and SVG, and return the number of plots.

    Args:
        names: tracks; none: the default one.
        folder: where they go, in one folder per track.
        secret: of sealed tracks; default: ``BENCH_SECRETS``.
        observer: receives the progress.
        public: rank only rows whose units come from trusted back ends.

    Raises:
        BenchError: unknown track, a damaged store, or matplotlib is not installed.
    """
    tracks = [load_track(name, secret) for name in names or (DEFAULT_TRACK,)]
    results = board_data.read(tracks, Snapshot(), public)
    planned = figure_files.plan(results, public)
    with observer.progress("figures", len(planned), "figures") as progress:
        figure_files.write(planned, folder, progress.step)
    return len(planned)


def build_site(
    names: Sequence[str], folder: Path, secret: Path | None, observer: Observer, *, public: bool = False
) -> int:
    """Write the boards and entries of several tracks as static pages, and return the number of pages.

    Args:
        names: tracks; none: all shipped ones that have records.
        folder: where the pages go.
        secret: of sealed tracks; default: ``BENCH_SECRETS``.
        observer: receives the progress.
        public: rank only rows whose units come from trusted back ends.

    Raises:
        BenchError: unknown track, or a damaged store.
    """
    tracks = [load_track(name, secret) for name in names] if names else _with_records(secret)
    with uncollected():
        results = board_data.read(tracks, Snapshot(), public, lambda track: logger.info("read %s", track.name))
        entries = sum(len(result.entries) for result in results)
        with observer.progress("pages", entries, "entries") as progress:
            return build(results, folder, public, progress.at)


def _of_tiers(secret: Path | None, full: bool) -> list[Track]:
    return [track for track in _with_records(secret) if (track.protocol.access == "full") == full]


def _with_records(secret: Path | None) -> list[Track]:
    store = Store()
    tracks = [load_track(name, secret) for name in track_names()]
    return [
        track
        for track in tracks
        if next(iter(store.all(record_kind(track.reference_digest, track.protocol_digest))), None) is not None
    ]
