"""Who vouches for a row of a board: its badge, and the marks that organisers' commands store of an entry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness import units
from harness.references import References
from harness.units import Record

UNTRUSTED = "untrusted sandbox"
"""State and badge of a row that a public board lists without a rank."""
DISQUALIFIED = "disqualified"
BADGES = ("reference", "baseline", "verified", "self-reported", UNTRUSTED)


@dataclass(frozen=True)
class Mark:
    """Of one version of an entry on one track."""

    verified: bool = False
    """Units were run again and gave what was published."""
    disqualified: str = ""
    """Why it is out of the ranks; empty when it is not."""


def marks(references: References) -> dict[str, Mark]:
    """Entry's id → its mark, of those that have one."""
    found = references.store.all(f"marks/{units.place(references.track)}")
    return {
        name: Mark(bool(document.get("verified")), str(document.get("disqualified") or "")) for name, document in found
    }


def badge(kind: str, trusted: bool, mark: Mark) -> str:
    """One of ``BADGES``: without a trusted sandbox nothing else counts."""
    if kind == "reference":
        return "reference"
    if not trusted:
        return UNTRUSTED
    if kind == "baseline":
        return "baseline"
    return "verified" if mark.verified else "self-reported"


def disqualified(records: Iterable[Record], mark: Mark) -> str:
    """Why an entry is out of the ranks; empty when it is not."""
    said = (record.reason or DISQUALIFIED for record in records if record.status == DISQUALIFIED)
    return mark.disqualified or next(said, "")
