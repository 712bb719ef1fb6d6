"""Which entries have records on a track: of one name the version that ran last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from unlearn_bench.harness.entries.entry import Kind, baseline, baseline_names, shipped_digests
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import shadow_units, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord

REFERENCES: Mapping[str, RoleKind] = {"original": "original", "retrain": "retrained"}
"""Reference rows: the shipped entry that is timed, and the reference model whose logits count."""


@dataclass(frozen=True)
class Candidate:
    """An entry on a track: the newest version under its name, with its records by seed."""

    name: str
    entry: str
    kind: str
    records: dict[int, Record]

    @property
    def sha256(self) -> str:
        """Of the source."""
        return next(iter(self.records.values())).sha256

    @property
    def trusted(self) -> bool:
        return all(record.trusted for record in self.records.values())


@cache
def shipped_kinds() -> dict[str, Kind]:
    """Kind of every shipped method."""
    return {name: baseline(name).kind for name in baseline_names()}


def candidates(references: References) -> list[Candidate]:
    """Entries that have records on the track; of one name only the version that ran last."""
    shipped = shipped_digests()
    kinds = shipped_kinds()
    versions: dict[tuple[str, str], dict[int, Record]] = {}
    for record in unit_store.seed_records(references.store, references.track):
        versions.setdefault((record.name, record.entry), {})[record.seed] = record
    newest: dict[str, Candidate] = {}
    for (name, entry), found in sorted(versions.items(), key=lambda item: max(r.date for r in item[1].values())):
        sha = next(iter(found.values())).sha256
        kind = kinds.get(name, "baseline") if sha in shipped else "entry"
        if name in kinds and kind == "entry":
            continue  # an older version of a shipped method
        newest[name] = Candidate(name, entry, kind, found)
    return [newest[name] for name in sorted(newest)]


def shadow_records(references: References, known: Sequence[Candidate] | None = None) -> dict[str, ShadowRecord]:
    """Entry → the record of its shadow units, reference rows included.

    Of an entry the version that stands on the board, with the parameters that ran last.
    """
    if not references.track.protocol.lira_splits:
        return {}
    known = candidates(references) if known is None else known
    present = {candidate.name: candidate for candidate in known}
    newest: dict[str, ShadowRecord] = {}
    for record in sorted(shadow_units.records(references), key=lambda record: record.date):
        own = present.get(record.name)
        if record.name in REFERENCES or (own is not None and record.sha256 == own.sha256):
            newest[record.name] = record
    return dict(sorted(newest.items()))


def find(present: Mapping[str, Candidate], name: str, track: Track) -> Candidate:
    """The entry of this name on a track's board.

    Raises:
        BenchError: there is none; names those there are.
    """
    if name not in present:
        known = ", ".join(present) or "none yet"
        raise BenchError(f"no entry {name!r} on {track.name}", "your command", f"entries there: {known}", USAGE)
    return present[name]
