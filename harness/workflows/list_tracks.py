"""``bench tracks``: the tracks that ship, with what each still needs before an entry can run on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unlearn_bench.harness.data.dataset import is_there
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks import loading
from unlearn_bench.harness.tracks.specification import Track

Readiness = Literal["ready", "training", "data"]


@dataclass(frozen=True)
class ListedTrack:
    """A track, and what it needs."""

    track: Track
    readiness: Readiness
    """``ready``: an entry can run now. ``training``: reference models are to be trained first. ``data``: its data set
    is not here, either."""
    models: int
    """How many reference models are missing."""


def list_tracks() -> Sequence[ListedTrack]:
    """Return the tracks that ship with the benchmark, in the order of their names.

    Raises:
        BenchError: a damaged store.
    """
    store = Store()
    return [_listed(References(loading.load_track(name), store)) for name in loading.track_names()]


def _listed(references: References) -> ListedTrack:
    missing, there = len(references.missing()), is_there(references.track.data)
    readiness: Readiness = "data" if not there else "training" if missing else "ready"
    return ListedTrack(references.track, readiness, missing)
