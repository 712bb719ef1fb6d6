"""The entries that have records on a track: all versions of them, and under each name the one that stands.

A version is a source with parameters. The one that stands is what was promoted (``harness.workflows.versions``). Of a
name of which nothing was promoted it is the complete version that ran last, or else the one that ran last.
"""

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
from unlearn_bench.harness.units import promotions, shadow_units, unit_store
from unlearn_bench.harness.units.promotions import Promotion
from unlearn_bench.harness.units.records import Record, ShadowRecord

VERSION = 8
"""Hexadecimal digits of an id by which people name a version."""
CLEAN = "clean data"
"""The reference row of models that were trained on clean data; no entry can have this name."""
REFERENCES: Mapping[str, RoleKind] = {"original": "original", "retrain": "retrained", CLEAN: "clean"}
"""Reference rows: the name, of the shipped entry that is timed if there is one, and the reference model whose logits
count."""


@dataclass(frozen=True)
class BoardEntry:
    """A version of an entry on a track, with its records by seed."""

    name: str
    entry_id: str
    kind: EntryKind
    records: dict[int, Record]

    @property
    def sha256(self) -> str:
        """SHA-256 of the source."""
        return next(iter(self.records.values())).sha256

    @property
    def version(self) -> str:
        """What tells it from other versions under its name, as in ``NAME@version``."""
        return self.entry_id[:VERSION]

    @property
    def date(self) -> str:
        """When its last unit ran."""
        return max(record.date for record in self.records.values())

    def complete(self, track: Track) -> bool:
        """Whether every seed of the track is ok."""
        return sum(record.status == "ok" for record in self.records.values()) == track.protocol.seeds

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


def versions(references: References) -> dict[str, list[BoardEntry]]:
    """Return every version that has records on the track by name, those of a name by when they ran last."""
    shipped, kinds = shipped_digests(), shipped_kinds()
    by_id: dict[tuple[str, str], dict[int, Record]] = {}
    for record in unit_store.seed_records(references.store, references.track):
        by_id.setdefault((record.name, record.entry), {})[record.seed] = record
    by_name: dict[str, list[BoardEntry]] = {}
    for (name, entry_id), records in by_id.items():
        sha256 = next(iter(records.values())).sha256
        kind: EntryKind = "entry"
        if sha256 in shipped:
            kind = "variant" if name.endswith(ORACLE_FREE) else kinds.get(name, "baseline")
        elif has_shipped_name(name):
            continue  # an older version of a shipped method
        by_name.setdefault(name, []).append(BoardEntry(name, entry_id, kind, records))
    return {name: sorted(by_name[name], key=lambda each: each.date) for name in sorted(by_name)}


def board_entries(references: References, instead: BoardEntry | None = None) -> list[BoardEntry]:
    """Return the entries that have records on the track; under each name, only the version that stands.

    ``instead``: a version that is to take the place of the one that stands under its name.
    """
    track = references.track
    promoted = promotions.promoted(references.store, track)
    standing = {name: _standing(found, promoted.get(name), track) for name, found in versions(references).items()}
    if instead is not None:
        standing[instead.name] = instead
    return [standing[name] for name in sorted(standing)]


def _standing(found: Sequence[BoardEntry], promotion: Promotion | None, track: Track) -> BoardEntry:
    for version in found:
        if promotion is not None and version.entry_id == promotion.entry:
            return version
    return max(found, key=lambda version: (version.complete(track), version.date))


def shadow_records(references: References, entries: Sequence[BoardEntry] | None = None) -> dict[str, ShadowRecord]:
    """Return the record of the shadow units of every entry on the board by its name, reference rows included.

    The record is that of the version. Where none is noted as its own, it is the last of the version's source that is
    no other version's. ``entries``: those of :func:`board_entries`, where they have been read.
    """
    if not references.track.protocol.lira_splits:
        return {}
    entries = board_entries(references) if entries is None else entries
    attacked = promotions.attacked(references.store, references.track)
    taken = set(attacked.values())
    own = {attacked[entry.entry_id]: entry.name for entry in entries if entry.entry_id in attacked}
    by_source = {(entry.name, entry.sha256): entry.name for entry in entries if entry.entry_id not in attacked}
    chosen: dict[str, ShadowRecord] = {}
    for record in sorted(shadow_units.records(references), key=lambda record: record.date):
        if record.name in REFERENCES:
            chosen[record.name] = record
        elif record.entry in own:
            chosen[own[record.entry]] = record
        elif record.entry not in taken and (record.name, record.sha256) in by_source:
            chosen[record.name] = record
    return dict(sorted(chosen.items()))


def find(references: References, name: str) -> BoardEntry:
    """Return the entry of this name on a track's board, or with ``NAME@VERSION`` that version of it.

    Raises:
        BenchError: there is none; the error names those that exist.
    """
    found, track = versions(references), references.track
    name, at, version = name.partition("@")
    if name not in found:
        names = ", ".join(found) or f"none yet (bench baselines --track {track.name})"
        remedy = f"{did_you_mean(name, found)}entries there: {names}"
        raise BenchError(f"no entry {name!r} on {track.name}", "your command", remedy, USAGE)
    if not at:
        return _standing(found[name], promotions.promoted(references.store, track).get(name), track)
    matching = [each for each in found[name] if version and each.entry_id.startswith(version)]
    if len(matching) != 1:
        what = f"{name} has {'no' if not matching else 'more than one'} version {version!r} on {track.name}"
        remedy = "versions there: " + ", ".join(f"{name}@{each.version}" for each in found[name])
        raise BenchError(what, "your command", remedy, USAGE)
    return matching[0]
