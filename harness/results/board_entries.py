"""The entries that have records on a track: under each name, the version that ran last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from unlearn_bench.harness.entries.entry import (
    ORACLE_FREE,
    EntryKind,
    baseline,
    baseline_names,
    has_shipped_name,
    shipped_digests,
)
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.names import did_you_mean
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import shadow_units, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord

CLEAN = "clean data"
"""The reference row of models that were trained on clean data; no entry can have this name."""
REFERENCES: Mapping[str, RoleKind] = {"original": "original", "retrain": "retrained", CLEAN: "clean"}
"""Reference rows: the name, of the shipped entry that is timed if there is one, and the reference model whose logits
count."""


@dataclass(frozen=True)
class BoardEntry:
    """An entry on a track: the newest version under its name, with its records by seed."""

    name: str
    entry_id: str
    kind: EntryKind
    records: dict[int, Record]

    @property
    def sha256(self) -> str:
        """SHA-256 of the source."""
        return next(iter(self.records.values())).sha256

    @property
    def trusted(self) -> bool:
        """Whether every timed unit ran in a trusted sandbox."""
        return all(record.trusted for record in self.records.values())

    @property
    def from_checkpoints(self) -> bool:
        """Whether its models were read from files, so that nothing was run."""
        return any(record.checkpoint is not None for record in self.records.values())


def reference_rows(track: Track) -> dict[str, RoleKind]:
    """Return the reference rows of a track's board; only corrupted data has a clean form."""
    return {name: kind for name, kind in REFERENCES.items() if kind != "clean" or track.corruption}


@cache
def shipped_kinds() -> dict[str, EntryKind]:
    """Return the kind of every shipped method by its name."""
    return {name: baseline(name).kind for name in baseline_names()}


def board_entries(references: References) -> list[BoardEntry]:
    """Return the entries that have records on the track; under each name, only the version that ran last."""
    shipped, kinds = shipped_digests(), shipped_kinds()
    versions: dict[tuple[str, str], dict[int, Record]] = {}
    for record in unit_store.seed_records(references.store, references.track):
        versions.setdefault((record.name, record.entry), {})[record.seed] = record
    newest: dict[str, BoardEntry] = {}
    for (name, entry_id), records in sorted(versions.items(), key=lambda item: max(r.date for r in item[1].values())):
        sha256 = next(iter(records.values())).sha256
        kind: EntryKind = "entry"
        if sha256 in shipped:
            kind = "variant" if name.endswith(ORACLE_FREE) else kinds.get(name, "baseline")
        elif has_shipped_name(name):
            continue  # an older version of a shipped method
        newest[name] = BoardEntry(name, entry_id, kind, records)
    return [newest[name] for name in sorted(newest)]


def shadow_records(references: References, entries: Sequence[BoardEntry] | None = None) -> dict[str, ShadowRecord]:
    """Return the record of the shadow units of every entry on the board by its name, reference rows included.

    The record is of the source that stands on the board, with the parameters that ran last. ``entries``: those of
    :func:`board_entries`, where they have been read.
    """
    if not references.track.protocol.lira_splits:
        return {}
    entries = board_entries(references) if entries is None else entries
    sources = {entry.name: entry.sha256 for entry in entries}
    newest: dict[str, ShadowRecord] = {}
    for record in sorted(shadow_units.records(references), key=lambda record: record.date):
        if record.name in REFERENCES or record.sha256 == sources.get(record.name):
            newest[record.name] = record
    return dict(sorted(newest.items()))


def find(entries: Mapping[str, BoardEntry], name: str, track: Track) -> BoardEntry:
    """Return the entry of this name on a track's board.

    Raises:
        BenchError: there is none; the error names those that exist.
    """
    if name not in entries:
        names = ", ".join(entries) or f"none yet (bench baselines --track {track.name})"
        remedy = f"{did_you_mean(name, entries)}entries there: {names}"
        raise BenchError(f"no entry {name!r} on {track.name}", "your command", remedy, USAGE)
    return entries[name]
