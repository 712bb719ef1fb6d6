"""Records of units in a store; every kind of unit names the place of its own."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import Record, record_kind
from unlearn_bench.harness.units.unit_kinds import Unit

R = TypeVar("R")


def find(store: Store, unit: Unit[R]) -> R | None:
    """Return the record of a unit, or ``None`` where it has not run."""
    return read(store, type(unit), unit.track, unit.entry.id, unit.document_name)


def keep(store: Store, unit: Unit[R], record: R) -> None:
    """Write or replace the record of a unit."""
    write(store, type(unit), unit.track, unit.entry.id, unit.document_name, record)


def read(store: Store, kind: type[Unit[R]], track: Track, entry: str, name: str) -> R | None:
    """Return the record with this document name of an entry (by its id), or ``None``."""
    record: R | None = documents.read(store, kind.document_kind(track, entry), name, kind.record_type)
    return record


def write(store: Store, kind: type[Unit[R]], track: Track, entry: str, name: str, record: R) -> None:
    """Write or replace the record with this document name of an entry (by its id)."""
    documents.write(store, kind.document_kind(track, entry), name, record)


def of_entry(store: Store, kind: type[Unit[R]], track: Track, entry: str) -> dict[str, R]:
    """Return the records of one kind of unit of an entry (by its id) on a track, by the unit's document name."""
    return dict(documents.read_all(store, kind.document_kind(track, entry), kind.record_type))


def seed_records(store: Store, track: Track) -> list[Record]:
    """Return the records of all timed units of a track."""
    kind = record_kind(track.reference_digest, track.protocol_digest)
    return [record for _, record in documents.read_all(store, kind, Record)]


def logits(store: Store, record: Record) -> NDArray[np.float32] | None:
    """Return the logits [n, classes] of a unit; ``None`` where it failed, or where the store has only its scores."""
    if record.logits is None or not store.has(record.logits):
        return None
    return unpack(store.get(record.logits))


def pack(array: NDArray[np.floating]) -> bytes:
    """Return logits [n, classes] as safetensors."""
    from safetensors.numpy import save

    return save({"logits": array})


def unpack(content: bytes) -> NDArray[np.float32]:
    """Return logits [n, classes], as float32, from what :func:`pack` made."""
    from safetensors.numpy import load

    return load(content)["logits"].astype(np.float32)
