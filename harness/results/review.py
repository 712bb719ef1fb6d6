"""Marks that people put on rows: units that were run again (``bench verify``), sources that were disqualified.

Kept in the store beside the records, never in them. A unit's mark belongs to the record that it was compared with, a
disqualification to a source, on every track and with every parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.board_entries import BoardEntry, board_entries
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.units.records import Record, now, track_folder

Verdict = Literal["consistent", "inconsistent", "cannot tell"]
VERIFIED, NOT_REPRODUCED = "verified", "not reproduced"
"""What a row's badge says."""


@dataclass(frozen=True)
class Rerun:
    """One published unit that was run again."""

    seed: int
    verdict: Verdict
    date: str
    record: str
    """Date of the record that it was compared with."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[Mapping[str, Any], ...] = ()
    """One per metric; on a sealed track only the organiser may see them."""


@dataclass(frozen=True)
class Decision:
    """One decision of a maintainer on a source."""

    date: str
    reason: str
    """Why it is out of the ranks; empty where it is back in them."""


@dataclass(frozen=True)
class Disqualification:
    """All decisions on a source, the last of which counts."""

    name: str
    history: tuple[Decision, ...]


@dataclass(frozen=True)
class Mark:
    """What is known of a row beside its numbers."""

    reruns: tuple[Rerun, ...] = ()
    disqualified: str = ""
    """The reason; empty for a row in good standing."""

    @property
    def verified(self) -> str:
        """``verified``, ``not reproduced`` as soon as one unit was not, or empty."""
        verdicts = {rerun.verdict for rerun in self.reruns}
        if "inconsistent" in verdicts:
            return NOT_REPRODUCED
        return VERIFIED if "consistent" in verdicts else ""


def marks(references: References, entries: Sequence[BoardEntry] | None = None) -> dict[str, Mark]:
    """Return the marks of a track's rows by name, of those that have one."""
    entries = board_entries(references) if entries is None else entries
    by_name = {entry.name: _mark(references, entry) for entry in entries}
    return {name: mark for name, mark in by_name.items() if mark.reruns or mark.disqualified}


def _mark(references: References, board_entry: BoardEntry) -> Mark:
    reruns = []
    for _, rerun in documents.read_all(references.store, _folder(references, board_entry.entry_id), Rerun):
        record = board_entry.records.get(rerun.seed)
        if record is not None and record.date == rerun.record:
            reruns.append(rerun)
    reruns.sort(key=lambda rerun: rerun.seed)
    return Mark(tuple(reruns), disqualified(references.store, board_entry.sha256))


def keep(references: References, record: Record, rerun: Rerun) -> None:
    """Mark the unit of a record as run again; the newest run of a seed counts."""
    documents.write(references.store, _folder(references, record.entry), str(rerun.seed), rerun)


def disqualified(store: Store, sha256: str) -> str:
    """Return why a source is out of the ranks; empty when it is not."""
    disqualification = documents.read(store, "disqualified", sha256, Disqualification)
    return disqualification.history[-1].reason if disqualification and disqualification.history else ""


def disqualify(store: Store, name: str, sha256: str, reason: str) -> None:
    """Take a source out of the ranks, or with an empty reason back into them; earlier decisions are kept."""
    with store.lock("disqualified"):
        before = documents.read(store, "disqualified", sha256, Disqualification)
        history = (*(before.history if before else ()), Decision(now(), reason))
        documents.write(store, "disqualified", sha256, Disqualification(name, history))


def _folder(references: References, entry: str) -> str:
    return f"verified/{track_folder(references.track)}/{entry}"
