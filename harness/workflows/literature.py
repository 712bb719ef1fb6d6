"""``bench leaderboard --columns literature``: what papers report, of every entry, of Original, Retrain and the null."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board, literature
from unlearn_bench.harness.store.store import Snapshot
from unlearn_bench.harness.support.errors import DataError, Unwritable
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure


@dataclass(frozen=True)
class LiteratureTable:
    """The literature's columns of a track, from what is stored."""

    track: Track
    rows: pd.DataFrame
    """One per entry and reference model, see :func:`harness.results.literature.table`."""
    notes: tuple[str, ...] = ()
    """What the numbers lack, as sentences."""


def literature_table(track: str, secret: Path | None, observer: Observer, *, public: bool = False) -> LiteratureTable:
    """Return the literature's columns of a track; no entry is run, and what is computed is kept in the store.

    ZRF compares with an untrained network, whose outputs on F are computed once; that needs the images.

    Args:
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track, which is refused.
        observer: receives the progress.
        public: name the rows whose units do not come from trusted back ends.

    Raises:
        BenchError: unknown track, a sealed track, a damaged store, or reference models that are not stored.
    """
    references = References(load_track(track, secret), Snapshot())
    disclosure.not_public(references.track, "a table of the literature's columns")
    models = literature.stored_models(references)
    notes = _evaluate_untrained(references)
    with observer.progress("the literature's columns", len(models), "models") as progress:
        found = list(literature.numbers(references, models, progress.at))
    rows = literature.table(references, board.board(references, public), found)
    return LiteratureTable(references.track, rows, notes)


def _evaluate_untrained(references: References) -> tuple[str, ...]:
    """Keep the outputs of untrained networks that are not kept yet; return why that is impossible, if it is."""
    seeds = range(references.track.protocol.seeds)
    missing = [seed for seed in seeds if literature.untrained(references, seed) is None]
    if not missing:
        return ()
    try:
        _ = references.examples.dataset
    except DataError as error:  # everything but ZRF comes from what is stored
        return (f"ZRF is unknown: it needs the images once ({error.message})",)
    from unlearn_bench.harness.training.untrained import untrained_logits

    try:
        for seed in missing:
            literature.keep_untrained(references, seed, untrained_logits(references, seed))
    except Unwritable as error:
        return (f"ZRF is unknown: what it is computed from must be kept once ({error.message})",)
    return ()
