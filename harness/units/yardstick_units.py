"""Whether an entry does in untimed units the work that it does in timed ones, by CPU seconds.

A timed unit that hurries and a shadow unit that retrains would be fast and private at once. What they are compared
with are a few yardstick units: seed units that run untimed, in the same place and with the same parameters. To the
entry they look like timed ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units import swap_units, unit_store
from unlearn_bench.harness.units.records import ShadowRecord, YardstickRecord
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.unit_kinds import YardstickUnit

LIMIT = 3.0
"""Ratio to the yardstick above which work is marked. Costs that do not shrink with R explain a ratio of 2 at most."""
LEAST = 0.5
"""CPU seconds below which imports and noise outweigh the method."""
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
    """Run yardstick units and keep their CPU seconds; yield each with its result."""
    if not todo:
        return
    for unit, result in runner.run(todo, deadline(references, todo[0])):
        if result.status == "ok":
            unit_store.keep(references.store, unit, YardstickRecord(result.cpu_seconds))
        yield unit, result


def inconsistent_shadows(references: References, record: ShadowRecord) -> str:
    """Return why the shadow units of an entry are inconsistent; empty if they are not, or nothing was measured."""
    if record.status != "ok" or (expected := _expected(references, record.entry)) is None:
        return ""
    share = len(references.examples.shadow_parts(0, 0)["retain"]) / references.track.splits.retain
    return _reason("shadow", record.cpu_seconds, expected, share)


def inconsistent_swaps(references: References, entry: str) -> str:
    """Return why the swapped units of an entry (by its id) are inconsistent, as for shadow units."""
    if (expected := _expected(references, entry)) is None:
        return ""
    return _reason("swapped", swap_units.cpu_seconds(references, entry), expected, 1.0)


def _reason(kind: str, seconds: float | None, expected: float, share: float) -> str:
    if seconds is None or (ratio := seconds / share / max(expected, LEAST)) <= LIMIT:
        return ""
    scaled = "" if share == 1 else f", {seconds / share:.2f} s for as many examples"
    return f"a {kind} unit takes {seconds:.2f} CPU s{scaled}, a timed one {expected:.2f} s: {ratio:.1f} times"


def measured(references: References, entry: str) -> dict[str, float | None]:
    """Return the CPU seconds of the yardstick units of an entry (by its id), by seed."""
    records = unit_store.of_entry(references.store, YardstickUnit, references.track, entry)
    return {seed: record.cpu_seconds for seed, record in records.items()}


def keep(references: References, entry: str, seconds: Mapping[str, float | None]) -> None:
    """Keep CPU seconds by seed, as :func:`measured` returned them for another store."""
    for seed, value in seconds.items():
        unit_store.write(references.store, YardstickUnit, references.track, entry, seed, YardstickRecord(value))


def _expected(references: References, entry: str) -> float | None:
    seconds = [value for value in measured(references, entry).values() if value is not None]
    return float(np.mean(seconds)) if seconds else None
