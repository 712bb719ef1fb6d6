"""A row's life: which version of an entry stands under its name, and how another one comes to stand.

The plain command, with the parameters that a search chose or the defaults, moves the row along while its source stays
the same. Other parameters, a part of the seeds and other sources under the name are experiments: they are kept, and
change no row until ``bench promote``. What that chose stands until it chooses again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.board_entries import BoardEntry, board_entries, find, versions
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, promotions


@dataclass(frozen=True)
class Version:
    """One version of an entry on a track."""

    version: str
    """What tells it from the others: the first digits of its id."""
    stands: bool
    """Whether it is the entry's row on the board."""
    date: str
    """When its last unit ran."""
    units: Mapping[str, int]
    """How many units ended with which status."""
    seeds: int
    """How many units a complete version has."""
    sandboxes: Sequence[str]
    sha256: str
    """Of its source."""
    parameters: Mapping[str, Any]
    """All of them, defaults included."""


def pin(references: References, running: Entry) -> None:
    """Let the version that stands keep standing while another one of its name runs."""
    store, track = references.store, references.track
    if running.name in promotions.promoted(store, track):
        return
    for entry in board_entries(references):
        if entry.name == running.name and entry.entry_id != running.id:
            promotions.promote(store, track, entry.name, entry.entry_id)


def settle(references: References, entries: Sequence[Entry]) -> None:
    """Let entries as the plain command runs them stand, where they are complete and their row may change.

    It may where what stands is not complete, or has the same source and was not chosen by hand.
    """
    store, track = references.store, references.track
    promoted = promotions.promoted(store, track)
    entries = [entry for entry in entries if entry.name in promoted]
    found = versions(references) if entries else {}
    for entry in entries:
        by_id = {version.entry_id: version for version in found.get(entry.name, [])}
        promotion, new = promoted[entry.name], by_id.get(entry.id)
        if new is None or not new.complete(track):
            continue
        standing = by_id.get(promotion.entry)
        moves_along = standing is not None and standing.sha256 == new.sha256 and not promotion.by_hand
        if standing is None or not standing.complete(track) or moves_along:
            promotions.promote(store, track, entry.name, entry.id)


def accept(references: References, name: str, entry_id: str) -> None:
    """Let a version of a scored pull request stand, whose author and organiser want it, once it is complete."""
    version = next((each for each in versions(references).get(name, []) if each.entry_id == entry_id), None)
    if version is not None and version.complete(references.track):
        promotions.promote(references.store, references.track, name, entry_id)


def promote(name: str, track: str, secret: Path | None = None) -> BoardEntry:
    """Let a version of an entry be its row from now on.

    Args:
        name: ``NAME@VERSION``, or the name of an entry for its complete version that ran last.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.

    Raises:
        BenchError: no such entry or version, one that is not complete, or one of a shipped method.
    """
    references = References(load_track(track, secret), Store())
    store, loaded_track = references.store, references.track
    version = find(references, name)
    if "@" not in name:
        complete = [each for each in versions(references)[name] if each.complete(loaded_track)]
        version = complete[-1] if complete else version
    if version.kind != "entry":
        what = f"{version.name} ships with the benchmark"
        raise BenchError(what, "your command", "its row is what `bench baselines` ran last", USAGE)
    if not version.complete(loaded_track):
        ok = sum(record.status == "ok" for record in version.records.values())
        what = f"{version.name}@{version.version} is not complete: {ok} of {loaded_track.protocol.seeds} seeds are ok"
        raise BenchError(what, "your command", "submit it with the same parameters and without --seeds", USAGE)
    promotions.promote(store, loaded_track, version.name, version.entry_id, by_hand=True)
    return version


def list_versions(name: str, track: str, secret: Path | None = None, *, organiser: bool = False) -> list[Version]:
    """Return every version of an entry that has run, in the order in which they ran last.

    Args:
        name: of the entry.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        organiser: list them also on a sealed track.

    Raises:
        BenchError: unknown track or entry, or a sealed track.
    """
    references = References(load_track(track, secret), Store())
    if not organiser:
        disclosure.not_public(references.track, "the versions of an entry")
    standing = find(references, name)
    return [
        Version(
            version=each.version,
            stands=each.entry_id == standing.entry_id,
            date=each.date,
            units=disclosure.tally(each.records.values()),
            seeds=references.track.protocol.seeds,
            sandboxes=sorted({str(r.environment.get("backend", "none")) for r in each.records.values()}),
            sha256=each.sha256,
            parameters=next(iter(each.records.values())).parameters,
        )
        for each in versions(references)[standing.name]
    ]
