"""Timed units running in slots, and the lines that people see of each while it runs and when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.slots import Slot, run_in_slots
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext

Ended = TypeVar("Ended", Record, Record | None)


def followed(
    context: UnitContext,
    todo: Sequence[SeedUnit],
    slots: Sequence[Slot],
    work: Callable[[SeedUnit, Slot], Ended],
    observer: Observer,
    title: str,
) -> Iterator[tuple[SeedUnit, Ended]]:
    """Run units with ``work``, which returns ``None`` for one that it skips, and show the observer how far they are."""
    with observer.units(title, len(todo)) as progress:

        def observed(unit: SeedUnit, slot: Slot) -> Ended:
            progress.started(unit.key, running(unit))
            return work(unit, slot)

        for unit, record in run_in_slots(todo, slots, observed, context.stop):
            progress.finished(unit.key, ended(unit, record), record is None or record.status == "ok")
            yield unit, record


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
