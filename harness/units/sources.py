"""Sources of the entries that ran, kept for people to read, with what was read from them when they were checked."""

from __future__ import annotations

from unlearn_bench.harness.entries.entry import Entry, baseline, baseline_names
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.units.units import Record

KIND = "sources"


def keep(store: Store, entry: Entry) -> None:
    """Keep an entry's source by its SHA-256, unless it ships; reading it again later starts no child process."""
    if entry.kind != "entry" or (store.read(KIND, entry.sha256) is not None and store.has(entry.sha256)):
        return
    store.put(entry.source)
    about = {
        "defaults": dict(entry.defaults),
        "search_space": dict(entry.search_space),
        "metadata": dict(entry.metadata),
        "summary": entry.summary,
    }
    store.write(KIND, entry.sha256, about)


def find(store: Store, record: Record) -> Entry | None:
    """The entry that left a record, without its choice of parameters; ``None`` where its source is not here."""
    if record.name in baseline_names() and (shipped := baseline(record.name)).sha256 == record.sha256:
        return shipped
    about = store.read(KIND, record.sha256)
    if about is None or not store.has(record.sha256):
        return None
    return Entry(record.name, store.get(record.sha256), **about)
