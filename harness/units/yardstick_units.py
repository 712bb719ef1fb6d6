"""Yardstick units: seed units that run untimed, in the same place and with the same parameters as other untimed units.

To the entry they look like timed ones. Their work in CPU seconds is what that of other untimed units is compared with,
and their models must be like those of timed units, see ``harness.results.consistency``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.behaviour import behaviour
from unlearn_bench.harness.units.records import YardstickRecord
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.unit_kinds import YardstickUnit

YARDSTICKS = 2
"""Number of yardstick units of an entry."""


def pending(references: References, entry: Entry) -> list[YardstickUnit]:
    """Return the yardstick units that have not run; an entry that ships needs none."""
    if entry.kind != "entry":
        return []
    track = references.track
    todo = [YardstickUnit(entry, track, seed) for seed in range(min(YARDSTICKS, track.protocol.seeds))]
    return [unit for unit in todo if unit_store.find(references.store, unit) is None]


def measure(
    references: References, todo: Sequence[YardstickUnit], runner: Runner
) -> Iterator[tuple[YardstickUnit, UntimedResult]]:
    """Run yardstick units and keep what they cost and what their models are like; yield each with its result."""
    if not todo:
        return
    for unit, result in runner.run(todo, deadline(references, todo[0])):
        if result.status == "ok":
            numbers = behaviour(references, unit, result.logits, result.weight_shift)
            unit_store.keep(references.store, unit, YardstickRecord(result.cpu_seconds, numbers))
        yield unit, result


def measured(references: References, entry: str) -> dict[str, YardstickRecord]:
    """Return the records of the yardstick units of an entry (by its id), by seed."""
    return unit_store.of_entry(references.store, YardstickUnit, references.track, entry)


def keep(references: References, entry: str, records: Mapping[str, YardstickRecord]) -> None:
    """Keep records by seed, as :func:`measured` returned them for another store."""
    for seed, record in records.items():
        unit_store.write(references.store, YardstickUnit, references.track, entry, seed, record)
