"""The lines that people see of a unit while it runs and when it has ended."""

from __future__ import annotations

from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.unit_kinds import SeedUnit


def running(unit: SeedUnit) -> str:
    """Return the line of a running unit; on a sealed track it does not tell which unit of the entry that is."""
    return unit.entry.name if unit.track.sealed else unit.label


def ended(unit: SeedUnit, record: Record | None) -> str:
    """Return the line of a unit that ended; ``None`` stands for one that was skipped.

    On a sealed track it is the entry's name and the status.
    """
    if unit.track.sealed or record is None:
        return f"{running(unit)} {'skipped' if record is None else record.status}"
    seconds = "" if record.seconds is None else f" {record.seconds:.2f} s"
    reason = f": {record.reason}" if record.reason else ""
    return f"{record.name} seed {record.seed} {record.status}{seconds}{reason}"
