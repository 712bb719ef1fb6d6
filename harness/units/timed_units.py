"""From entries to finished timed units: which have still to run, and the runs, with those of Retrain in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import retrain_times, unit_progress, unit_run, unit_store
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.retrain_times import TimesNow
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext


def pending(
    store: Store,
    entry: Entry,
    track: Track,
    seeds: Sequence[int],
    again: bool = False,
    lacking: Callable[[SeedUnit], bool] = lambda unit: False,
) -> list[SeedUnit]:
    """Return the units to run: those without a record.

    An entry with a failed unit has no position: none of its units is run, unless ``again`` asks for the failed, missing
    and disturbed ones. Finished units run again where they are ``lacking`` something that only a run gives.
    """
    todo, failed = [], False
    for seed in seeds:
        unit = SeedUnit(entry, track, seed)
        record = unit_store.find(store, unit)
        failed = failed or (record is not None and record.status != "ok")
        if record is None or record.status != "ok" or (again and record.disturbed) or lacking(unit):
            todo.append(unit)
    return [] if failed and not again else todo


def run(
    context: UnitContext, todo: Sequence[SeedUnit], slots: Sequence[Slot], observer: Observer, *, keep: bool = True
) -> list[Record]:
    """Run timed units and ``keep`` their records, in turn with what is to be measured of Retrain's time.

    The remaining units of an entry are skipped once one has failed: every seed must be ok for a rank.

    Raises:
        BenchError: Retrain itself failed.
    """
    if not todo:
        return []
    times = retrain_times.look(context, slots, observer)
    wanted, to_measure = {unit.key for unit in todo}, {unit.key for unit in times.missing}
    failed: set[str] = set()

    def work(unit: SeedUnit, slot: Slot) -> Record | None:
        if unit.key in to_measure:
            return retrain_times.run(context, unit, slot)
        if unit.entry.id in failed:
            return None
        record = unit_run.run(context, unit, slot, _deadline(unit.track, times))
        if record.status != "ok":
            failed.add(unit.entry.id)
        return record

    records: list[Record] = []
    unmatched: list[Record] = []
    title = "units, and Retrain's time on the other seeds" if to_measure else "units"
    for unit, record in unit_progress.followed(context, in_turn(times, todo), slots, work, observer, title):
        if record is None:
            continue
        if unit.key in to_measure:
            times = retrain_times.add(context, times, record)
        if unit.key in wanted:
            unmatched.append(record)
        for matched in [times.completes(each) for each in unmatched if each.seed in times.seconds]:
            if keep and matched.status != "infra":
                matched.save(context.references.store)
            records.append(matched)
        unmatched = [each for each in unmatched if each.seed not in times.seconds]
    return records


def in_turn(times: TimesNow, todo: Sequence[SeedUnit]) -> list[SeedUnit]:
    """Return units, each behind that of Retrain on the same seed if it is missing; then the other missing ones.

    So a machine that slowly changes its speed changes both times of a ratio alike.
    """
    missing = {unit.seed: unit for unit in times.missing}

    def ordered() -> Iterator[SeedUnit]:
        for unit in todo:
            if unit.seed in missing:
                yield missing.pop(unit.seed)
            yield unit
        yield from missing.values()

    return list({unit.key: unit for unit in ordered()}.values())


def _deadline(track: Track, times: TimesNow) -> float:
    """Return the seconds that a unit may take, by Retrain's times so far: those of two seeds at least."""
    return max(track.protocol.deadline_floor, track.protocol.deadline_factor * max(times.seconds.values()))
