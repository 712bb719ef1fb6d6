"""Which version of an entry stands on a track's board, and which shadow units go with which version.

A version is a source with parameters; its records are kept whatever stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.field_types import Date, Sha256
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import now, track_folder


@dataclass(frozen=True)
class Promotion:
    """The version that stands under a name."""

    entry: Sha256
    """The version's id."""
    date: Date
    by_hand: bool = False
    """Whether somebody chose it: it then stands until somebody chooses another."""


@dataclass(frozen=True)
class Attacked:
    """What U-LiRA attacked of a version."""

    shadow: Sha256
    """Id of the entry whose shadow units ran: the same source, with parameters for U-LiRA's setting."""


def promote(store: Store, track: Track, name: str, entry: str, *, by_hand: bool = False) -> None:
    """Let the version with this id stand under a name."""
    documents.write(store, f"standing/{track_folder(track)}", name, Promotion(entry, now(), by_hand))


def promoted(store: Store, track: Track) -> dict[str, Promotion]:
    """Return what was promoted by name."""
    return dict(documents.read_all(store, f"standing/{track_folder(track)}", Promotion))


def attack(store: Store, track: Track, entry: str, shadow: str) -> None:
    """Note that the shadow units of one id belong to the version with another."""
    documents.write(store, f"attacked/{track_folder(track)}", entry, Attacked(shadow))


def attacked(store: Store, track: Track) -> dict[str, str]:
    """Return the id under which the shadow units of a version ran, by the version's id."""
    found = documents.read_all(store, f"attacked/{track_folder(track)}", Attacked)
    return {entry: attacked.shadow for entry, attacked in found}
