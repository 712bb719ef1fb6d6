"""What participants learn of a sealed track, and how often: status words and numbers over all seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.records import Record


def disclosed_status(track: Track, status: str, reason: str) -> str:
    """Return a status with its reason; on a sealed track the status without it, since the entry controls the reason."""
    return f"{status}: {reason}" if reason and not track.sealed else status


def tally(records: Iterable[Record]) -> dict[str, int]:
    """Count the units by the status in which they ended."""
    return dict(sorted(Counter(record.status for record in records).items()))


def within_quota(store: Store, entry: Entry, track: Track) -> None:
    """Refuse a source when a sealed track has already scored its quota of different ones under the entry's name.

    Raises:
        BenchError: the quota is used up. Sources whose every run was lost to the machine were not scored.
    """
    quota = track.sealed.quota if track.sealed else 0
    scored_versions = {record.sha256 for record in unit_store.seed_records(store, track) if record.name == entry.name}
    if quota and entry.sha256 not in scored_versions and len(scored_versions) >= quota:
        count = len(scored_versions)
        raise BenchError(
            f"{entry.name}: {count} different versions were scored on {track.name}, its quota is {quota}",
            "your command",
            "a version that was scored before may run again; no other one will",
            USAGE,
        )


def not_public(track: Track, what: str) -> None:
    """Refuse what would disclose the inside of a sealed track.

    Raises:
        BenchError: the track is sealed.
    """
    if track.sealed:
        raise BenchError(
            f"{what} would give away the inside of the sealed track {track.name}",
            "your command",
            "use a public track",
            USAGE,
        )
