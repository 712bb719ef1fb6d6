"""Publishing a scored pull request: everything in its result is checked as data before it is merged.

Scores are not taken over: records and arrays are, and the scores are computed from them again. The scoring machine is
only trusted to have run the entry and to have told the truth about times and outputs.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.harness.entries.entry import Entry, InvalidEntry, from_source, has_shipped_name
from unlearn_bench.harness.entries.package import SIZE
from unlearn_bench.harness.pulls import comment, outcome, pull_request
from unlearn_bench.harness.pulls.git import Repository
from unlearn_bench.harness.pulls.result import BadResult, EntryResult, PullResult, read_file
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.units import entry_sources, promotions, shadow_units, yardstick_units
from unlearn_bench.harness.units.records import Record, ShadowRecord, YardstickRecord, record_kind, track_folder
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.sandbox import backends
from unlearn_bench.sandbox.text import one_line

SPARE = 1 << 16
"""Bytes that a file of arrays may have in addition to its numbers."""


@dataclass(frozen=True)
class Checked:
    """One entry of a result that may be merged."""

    result: EntryResult
    entry: Entry
    blobs: dict[str, bytes]


def check(references: References, folder: Path, result: PullResult, *, other_harness: bool = False) -> list[Checked]:
    """Check what a result says, and the arrays in its folder, against this installation's track and rules.

    Raises:
        BadResult: it cannot be published; the message gives the first reason.
    """
    track = references.track
    if result.kind != "score":
        raise BadResult("a smoke run is not published", "run bench score-pr without --smoke")
    if result.entries and not result.harness.matches_base and not other_harness:
        raise BadResult(
            "it was scored by a harness that is not that of the base commit",
            "score it again from a checkout of the base commit, or say --other-harness",
        )
    compared = ("name", "reference_digest", "protocol_digest", "analysis_digest")
    if any(getattr(track, name) != getattr(result.track, name) for name in compared):
        raise BadResult(f"it is of another track than {track.name}", "name its track with --track")
    if track.sealed and any(entry.records for entry in result.entries):
        raise BadResult("a result of a sealed track holds no records", "the organiser's own store has them")
    entries = [entry.name for entry in result.entries]
    if len(set(entries)) != len(entries):
        raise BadResult("it has an entry twice")
    return [_entry(references, folder, entry) for entry in result.entries if entry.records]


def same_as(repository: Repository, result: PullResult, packages: bool = False) -> None:
    """Check that the entries of a result are those of the commits that it names, byte for byte.

    ``packages``: an entry may be the bundle of a package.

    Raises:
        BadResult: its entries are not those of the commits.
        GitError: the commits are not in the repository.
    """
    allow = any(entry.change == "changed" for entry in result.entries)
    pull = pull_request.read(repository, result.base, result.head, allow, packages)
    added = [(submission.path, submission.blob, submission.entry.sha256) for submission in pull.submissions]
    if added != [(entry.path, entry.blob, entry.sha256) for entry in result.entries]:
        raise BadResult(f"its entries are not those of commit {result.head[:12]}", "score that commit again")


def merge(references: References, result: PullResult, checked: list[Checked]) -> int:
    """Append what was checked to the store; return the number of new records.

    Arrays are written before the records that name them.

    Raises:
        BadResult: a unit is published already with another outcome; nothing was written.
    """
    store, track = references.store, references.track
    kind = record_kind(track.reference_digest, track.protocol_digest)
    with store.lock("publish"):
        new = []
        for record in (record for entry in checked for record in entry.result.records):
            published = documents.read(store, kind, record.key, Record)
            if published is None:
                new.append(record)
            elif published != record:
                what = f"{record.name}, seed {record.seed}, is published already with another outcome"
                raise BadResult(what, "bench verify runs a published unit again")
        for checked_entry in checked:
            entry_sources.keep(store, checked_entry.entry)
            for content in checked_entry.blobs.values():
                store.put(content)
            if (shadow := checked_entry.result.shadow) is not None:
                promotions.attack(store, track, checked_entry.result.records[0].entry, shadow.record.entry)
                yardsticks = {
                    seed: YardstickRecord(seconds, shadow.behaviour.get(seed, {}))
                    for seed, seconds in shadow.probes.items()
                }
                yardstick_units.keep(references, shadow.record.entry, yardsticks)
                shadow_units.keep(references, shadow.record)
        for record in new:
            record.save(store)
        if checked:
            keep(references, result)
    return len(new)


def keep(references: References, result: PullResult) -> None:
    """Keep a result in the store, by its head commit."""
    documents.write(references.store, _kind(references), result.head, result)


def find(references: References, head: str) -> PullResult | None:
    """Return the result of an earlier run on a head commit, or ``None``."""
    return documents.read(references.store, _kind(references), head, PullResult)


def comment_of(references: References, result: PullResult) -> str:
    """Return the comment, with the places that the result's entries have on this store's board."""
    entries = []
    for entry in result.entries:
        if entry.records:
            place = outcome.standing(references, entry.name, entry.records[0].entry)
            entry = replace(entry, verdict=place.verdict, neighbours=place.neighbours)
        entries.append(entry)
    return comment.comment(replace(result, entries=tuple(entries)))


def _kind(references: References) -> str:
    return f"pulls/{track_folder(references.track)}"


def _entry(references: References, folder: Path, result: EntryResult) -> Checked:
    name = result.name
    if result.path != f"{pull_request.FOLDER}/{name}.py" or has_shipped_name(name):
        raise BadResult(f"{name} is not the name of its file, or that of a shipped method")
    blobs = {}
    for sha256, size in _sizes(references, result).items():
        blobs[sha256] = read_file(folder / "blobs" / sha256, size)
        if hashlib.sha256(blobs[sha256]).hexdigest() != sha256:
            raise BadResult(f"{folder / 'blobs' / sha256} does not match its digest")
    try:
        entry = from_source(name, blobs[result.sha256])
    except InvalidEntry as error:
        raise BadResult(f"{name} does not pass bench check: {error.message}") from None
    for record in result.records:
        _check_record(references, entry, record, blobs)
    if len({record.seed for record in result.records}) != len(result.records):
        raise BadResult(f"{name} has a seed twice")
    if result.shadow is not None:
        _check_shadows(references, entry, result.shadow.record, blobs)
    return Checked(result, entry, blobs)


def _sizes(references: References, result: EntryResult) -> dict[str, int]:
    """Return the SHA-256 of every file that an entry's result names, and the bytes that the file may have."""
    sizes = {result.sha256: SIZE}
    for record in result.records:
        if record.logits:
            sizes[record.logits] = 4 * references.track.data.classes * len(references.examples.labels) + SPARE
    if result.shadow is not None and (values := result.shadow.record.values):
        sizes[values] = 4 * 4 * len(references.examples.population) * references.track.protocol.lira_splits + SPARE
    return sizes


def _check_record(references: References, entry: Entry, record: Record, blobs: dict[str, bytes]) -> None:
    track, unit_name = references.track, f"{entry.name}, seed {record.seed}"
    entry = _with_parameters(entry, record.parameters)
    unit = SeedUnit(entry, track, record.seed)
    expected = (entry.name, entry.sha256, entry.id, track.name, track.reference_digest, track.protocol_digest, unit.key)
    stated = (record.name, record.sha256, record.entry, record.track, record.reference_digest, record.protocol_digest)
    if (*stated, record.key) != expected or record.seed >= track.protocol.seeds:
        raise BadResult(f"{unit_name}: the record is not of this entry and track")
    _plausible(record)
    if (record.status == "ok") != (record.logits is not None):
        raise BadResult(f"{unit_name}: {record.status} with{'' if record.logits else 'out'} outputs")
    if record.logits is not None:
        _arrays(blobs[record.logits], {"logits": (len(references.examples.labels), track.data.classes)}, unit_name)


def _check_shadows(references: References, entry: Entry, record: ShadowRecord, blobs: dict[str, bytes]) -> None:
    entry = _with_parameters(entry, record.parameters)
    pairs = references.track.protocol.lira_splits // 2
    if (record.name, record.sha256, record.entry) != (entry.name, entry.sha256, entry.id) or record.pairs > pairs:
        raise BadResult(f"{entry.name}: the record of its shadow units is not of this entry and track")
    _plausible(record)
    if (record.status == "ok") != (record.values is not None):
        raise BadResult(f"{entry.name}: shadow units {record.status} with{'' if record.values else 'out'} outputs")
    if record.values is not None:
        if record.temperature is None or "val" not in record.accuracies:
            raise BadResult(
                f"{entry.name}: its shadow units lack a temperature or VA; score it again with this version"
            )
        shape = (len(references.examples.population), record.pairs)
        names = ("forgotten", "never", "retained", "absent")
        _arrays(blobs[record.values], dict.fromkeys(names, shape), f"{entry.name}, shadow units")


def _with_parameters(entry: Entry, parameters: Any) -> Entry:
    try:
        return entry.with_parameters(parameters)
    except InvalidEntry as error:
        raise BadResult(error.message) from None


def _plausible(record: Record | ShadowRecord) -> None:
    """Refuse a date in the future, and trust in a back end that is not trusted on this machine."""
    latest = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    try:
        date = datetime.datetime.fromisoformat(record.date)
    except ValueError:
        raise BadResult(f"{record.name}: {record.date!a} is no date") from None
    if date > latest:
        raise BadResult(f"{record.name}: its date {record.date} is still to come")
    if record.status == "infra":
        raise BadResult(f"{record.name}: a unit was lost to the machine", "score it again")
    if record.trusted:
        _trusted_here(record.name, str(record.environment.get("backend", "")))


def _trusted_here(entry: str, backend: str) -> None:
    """Refuse trust that the back end of this name does not have on this machine, whatever the result says."""
    try:
        trusted = backends.is_trusted(backend)
    except backends.SandboxUnavailable as error:
        raise BadResult(f"{entry}: called trusted, but {one_line(error.what)}", error.remedy) from None
    if not trusted:
        raise BadResult(f"{entry}: called trusted, and its back end {backend} is not")


def _arrays(content: bytes, shapes: dict[str, tuple[int, ...]], what: str) -> None:
    """Check that safetensors hold exactly arrays of these shapes, of finite float numbers."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError):
        raise BadResult(f"{what}: its arrays cannot be read") from None
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise BadResult(f"{what}: its arrays have other names or shapes than the track's")
    if not all(array.dtype in (np.float16, np.float32) and np.isfinite(array).all() for array in arrays.values()):
        raise BadResult(f"{what}: its arrays are not finite float numbers")
