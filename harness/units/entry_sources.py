"""Sources of the entries that ran, kept for people to read, with what each declared when it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unlearn_bench.harness.entries.entry import ORACLE_FREE, Entry, baseline, baseline_names
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.units.records import Record

KIND = "sources"


@dataclass(frozen=True)
class Declared:
    """What an entry declared when it was checked."""

    defaults: Mapping[str, Any]
    search_space: Mapping[str, Any]
    metadata: Mapping[str, Any]
    summary: str
    requirements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def keep(store: Store, entry: Entry) -> None:
    """Keep an entry's source by its SHA-256, unless it ships, and what it declares: it need not be parsed again."""
    if entry.kind != "entry" or (store.read(KIND, entry.sha256) is not None and store.has(entry.sha256)):
        return
    store.put(entry.source)
    declared = Declared(
        entry.defaults, entry.search_space, entry.metadata, entry.summary, entry.requirements, entry.notes
    )
    documents.write(store, KIND, entry.sha256, declared)


def find(store: Store, record: Record) -> Entry | None:
    """Return the entry that left a record, with its default parameters; ``None`` where its source was not kept."""
    return store.once((KIND, record.name, record.sha256), lambda: _find(store, record))


def _find(store: Store, record: Record) -> Entry | None:
    method = record.name.removesuffix(ORACLE_FREE)
    if method in baseline_names() and (shipped := baseline(method)).sha256 == record.sha256:
        return shipped
    declared = documents.read(store, KIND, record.sha256, Declared)
    if declared is None or not store.has(record.sha256):
        return None
    return Entry(
        record.name,
        store.get(record.sha256),
        defaults=declared.defaults,
        search_space=declared.search_space,
        metadata=declared.metadata,
        summary=declared.summary,
        requirements=declared.requirements,
        notes=declared.notes,
    )
