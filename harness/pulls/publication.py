"""A scored pull request becomes a part of the board: everything in its result is checked as data before it is merged.

Numbers are not taken over: records and arrays are, and every score follows from them here. What is left to trust the
scoring machine with is that it ran the entry and told the truth about times and outputs.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unlearn_bench.harness.entries.entry import SIZE, Entry, InvalidEntry, baseline_names, from_source
from unlearn_bench.harness.pulls import comment, pull_request, result
from unlearn_bench.harness.pulls.git import Repository
from unlearn_bench.harness.pulls.result import BadResult, Document
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.support.serialisation import Mismatch, from_json
from unlearn_bench.harness.units import entry_sources, probe_units, shadow_units
from unlearn_bench.harness.units.records import Record, ShadowRecord, record_kind, track_folder
from unlearn_bench.harness.units.unit_kinds import SeedUnit

T = TypeVar("T")
SPARE = 1 << 16
"""Bytes that a file of arrays may have beside its numbers."""


@dataclass(frozen=True)
class Checked:
    """One entry of a result that may be merged."""

    document: Document
    entry: Entry
    records: tuple[Record, ...]
    shadow: ShadowRecord | None
    blobs: dict[str, bytes]


def check(references: References, place: Path, document: Document, *, other_harness: bool = False) -> list[Checked]:
    """Check what a result folder says, against this installation's track and rules.

    Raises:
        BadResult: it cannot be published; names the first reason.
    """
    track = references.track
    if document["kind"] != "score":
        raise BadResult("a smoke run is not published", "run bench score-pr without --smoke")
    if document["entries"] and not document["harness"]["matches_base"] and not other_harness:
        raise BadResult(
            "it was scored by a harness that is not that of the base commit",
            "score it again from a checkout of the base commit, or say --other-harness",
        )
    about = {name: document["track"][name] for name in ("reference_digest", "protocol_digest", "analysis_digest")}
    if document["track"]["name"] != track.name or any(getattr(track, name) != value for name, value in about.items()):
        raise BadResult(f"it is of another track than {track.name}", "name its track with --track")
    if track.sealed and any(entry["records"] for entry in document["entries"]):
        raise BadResult("a result of a sealed track holds no records", "the organiser's own store has them")
    names = [entry["name"] for entry in document["entries"]]
    if len(set(names)) != len(names):
        raise BadResult("it has an entry twice")
    return [_entry(references, place, entry) for entry in document["entries"] if entry["records"]]


def same_as(repository: Repository, document: Document) -> None:
    """Check that a result is of the commits that it names: the same entries, byte for byte.

    Raises:
        BadResult: it is not. GitError: the commits are not here.
    """
    allow = any(entry["change"] == "changed" for entry in document["entries"])
    pull = pull_request.read(repository, document["base"], document["head"], allow)
    there = [(one.path, one.blob, one.entry.sha256) for one in pull.submissions]
    if there != [(one["path"], one["blob"], one["sha256"]) for one in document["entries"]]:
        raise BadResult(f"its entries are not those of commit {document['head'][:12]}", "score that commit again")


def merge(references: References, document: Document, checked: list[Checked]) -> int:
    """Append what was checked to the store; returns the number of new records. Arrays come before what names them.

    Raises:
        BadResult: a unit is there already with another outcome; nothing was written.
    """
    store, track = references.store, references.track
    kind = record_kind(track.reference_digest, track.protocol_digest)
    with store.lock("publish"):
        new = []
        for one in checked:
            for record in one.records:
                published = documents.read(store, kind, record.key, Record)
                if published is None:
                    new.append(record)
                elif published != record:
                    what = f"{record.name}, seed {record.seed}, is published already with another outcome"
                    raise BadResult(what, "bench verify runs a published unit again")
        for one in checked:
            entry_sources.keep(store, one.entry)
            for content in one.blobs.values():
                store.put(content)
            if one.shadow is not None:
                probe_units.keep(references, one.shadow.entry, one.document["shadow"]["probes"])
                shadow_units.keep(references, one.shadow)
        for record in new:
            record.save(store)
        if checked:
            store.write(f"pulls/{track_folder(track)}", document["head"], document)
    return len(new)


def comment_of(references: References, document: Document) -> str:
    """The comment, with the places that its entries have on this store's board."""
    entries = [one | (result.place(references, one["name"]) if one["records"] else {}) for one in document["entries"]]
    return comment.comment(result.validate(document | {"entries": entries}))


def _entry(references: References, place: Path, document: Document) -> Checked:
    name = document["name"]
    if document["path"] != f"{pull_request.FOLDER}/{name}.py" or name.casefold() in {
        n.casefold() for n in baseline_names()
    }:
        raise BadResult(f"{name} is not the name of its file, or that of a shipped method")
    sizes = {document["sha256"]: SIZE}
    classes, total = references.track.data.classes, len(references.labels)
    for record in document["records"]:
        if record["logits"]:
            sizes[record["logits"]] = 4 * classes * total + SPARE
    shadow = document["shadow"]["record"] if document["shadow"] else None
    if shadow and shadow["values"]:
        sizes[shadow["values"]] = 4 * 4 * len(references.population) * references.track.protocol.lira_splits + SPARE
    blobs = {}
    for sha256, size in sizes.items():
        blobs[sha256] = result.read_file(place / "blobs" / sha256, size)
        if hashlib.sha256(blobs[sha256]).hexdigest() != sha256:
            raise BadResult(f"{place / 'blobs' / sha256} does not match its digest")
    try:
        entry = from_source(name, blobs[document["sha256"]])
    except InvalidEntry as error:
        raise BadResult(f"{name} does not pass bench check: {error.message}") from None
    records = tuple(_record(references, entry, one, blobs) for one in document["records"])
    if len({record.seed for record in records}) != len(records):
        raise BadResult(f"{name} has a seed twice")
    kept = None if shadow is None else _shadow(references, entry, shadow, blobs)
    return Checked(document, entry, records, kept, blobs)


def _record(references: References, entry: Entry, document: Document, blobs: dict[str, bytes]) -> Record:
    record, track = _parsed(Record, document), references.track
    entry = _with(entry, record.parameters)
    unit = SeedUnit(entry, track, record.seed)
    ours = (entry.name, entry.sha256, entry.id, track.name, track.reference_digest, track.protocol_digest, unit.key)
    said = (record.name, record.sha256, record.entry, record.track, record.reference_digest, record.protocol_digest)
    if (*said, record.key) != ours or record.seed >= track.protocol.seeds:
        raise BadResult(f"{entry.name}, seed {record.seed}: the record is not of this entry and track")
    _plausible(record)
    if (record.status == "ok") != (record.logits is not None):
        raise BadResult(
            f"{entry.name}, seed {record.seed}: {record.status} with{'' if record.logits else 'out'} outputs"
        )
    if record.logits is not None:
        shape = (len(references.labels), track.data.classes)
        _arrays(blobs[record.logits], {"logits": shape}, f"{entry.name}, seed {record.seed}")
    return record


def _shadow(references: References, entry: Entry, document: Document, blobs: dict[str, bytes]) -> ShadowRecord:
    record = _parsed(ShadowRecord, document)
    entry = _with(entry, record.parameters)
    pairs = references.track.protocol.lira_splits // 2
    if (record.name, record.sha256, record.entry) != (entry.name, entry.sha256, entry.id) or record.pairs > pairs:
        raise BadResult(f"{entry.name}: the record of its shadow units is not of this entry and track")
    _plausible(record)
    if (record.status == "ok") != (record.values is not None):
        raise BadResult(f"{entry.name}: shadow units {record.status} with{'' if record.values else 'out'} outputs")
    if record.values is not None:
        shape = (len(references.population), record.pairs)
        names = ("forgotten", "never", "retained", "absent")
        _arrays(blobs[record.values], dict.fromkeys(names, shape), f"{entry.name}, shadow units")
    return record


def _parsed(form: type[T], document: Document) -> T:
    try:
        return from_json(form, document)
    except Mismatch as error:
        raise BadResult(f"the result does not have the form of its schema: {error}") from None


def _with(entry: Entry, parameters: Any) -> Entry:
    try:
        return entry.with_parameters(parameters)
    except InvalidEntry as error:
        raise BadResult(error.message) from None


def _plausible(record: Record | ShadowRecord) -> None:
    """A date that is past; trust only where a container ran it."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    try:
        date = datetime.datetime.fromisoformat(record.date)
    except ValueError:
        raise BadResult(f"{record.name}: {record.date!a} is no date") from None
    if date > soon:
        raise BadResult(f"{record.name}: its date {record.date} is still to come")
    if record.status == "infra":
        raise BadResult(f"{record.name}: a unit was lost to the machine", "score it again")
    if record.trusted and not str(record.environment.get("backend", "")).startswith("docker"):
        raise BadResult(f"{record.name}: called trusted, and did not run in a container")


def _arrays(content: bytes, shapes: dict[str, tuple[int, ...]], what: str) -> None:
    """Exactly these float arrays, finite, in safetensors."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, MemoryError):
        raise BadResult(f"{what}: its arrays cannot be read") from None
    if {name: array.shape for name, array in found.items()} != shapes:
        raise BadResult(f"{what}: its arrays have other names or shapes than the track's")
    if not all(array.dtype in (np.float16, np.float32) and np.isfinite(array).all() for array in found.values()):
        raise BadResult(f"{what}: its arrays are not finite float numbers")
