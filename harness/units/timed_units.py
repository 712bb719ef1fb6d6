"""From entries to finished timed units: which have still to run, and the runs, with those of Retrain in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

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

logger = logging.getLogger(__name__)


def pending(
    store: Store,
    entry: Entry,
    track: Track,
    seeds: Sequence[int],
    again: bool = False,
    lacking: Callable[[SeedUnit], bool] = lambda unit: False,
    *,
    trusted: bool = False,
) -> list[SeedUnit]:
    """Return the units to run: those without a record.

    An entry with a failed unit has no position: none of its units is run, unless ``again`` asks for the failed, missing
    and disturbed ones. Finished units run again where they are ``lacking`` something that only a run gives. Where a
    ``trusted`` sandbox will run them, a record from one that is not counts as none.
    """
    todo, failed = [], False
    for seed in seeds:
        unit = SeedUnit(entry, track, seed)
        record = unit_store.find(store, unit)
        if trusted and record is not None and not record.trusted:
            record = None
        failed = failed or (record is not None and record.status != "ok")
        if record is None or record.status != "ok" or (again and record.disturbed) or lacking(unit):
            todo.append(unit)
    return [] if failed and not again else todo


def run(
    context: UnitContext, todo: Sequence[SeedUnit], slots: Sequence[Slot], observer: Observer, *, keep: bool = True
) -> list[Record]:
    """Run timed units and ``keep`` their records, in turn with what is to be measured of Retrain's time.

    The first unit of a submission runs before Retrain, so that a mistake in it costs no more than that unit. The
    remaining units of an entry are skipped once one has failed: every seed must be ok for a rank.

    Raises:
        BenchError: Retrain itself failed.
    """
    if not todo:
        return []
    first = _before_retrain(context, todo[0], slots, observer)
    if first is not None and first.status != "ok":
        if keep and first.status != "infra":
            first.save(context.references.store)
        others = [unit for unit in todo if unit.entry.id != first.entry]
        return [first, *run(context, others, slots, observer, keep=keep)]
    times = retrain_times.look(context, slots, observer, {unit.seed for unit in todo})
    if first is not None and (first.seconds or 0.0) > _deadline(todo[0].track, times.seconds.values()):
        first = None
    return _in_turn_with_retrain(context, todo, times, first, slots, observer, keep)


def _before_retrain(context: UnitContext, unit: SeedUnit, slots: Sequence[Slot], observer: Observer) -> Record | None:
    """Run a unit before Retrain's time is known, unless it is that of a shipped method.

    ``None`` also where it takes longer than the deadline that is known so far: it runs again once Retrain has run.
    """
    if unit.entry.kind != "entry":
        return None
    deadline = _deadline(unit.track, [retrain_times.longest(context)])

    def work(unit: SeedUnit, slot: Slot) -> Record:
        return unit_run.run(context, unit, slot, deadline)

    ((_, record),) = unit_progress.followed(context, [unit], slots, work, observer, "the first unit")
    if record.status != "timeout":
        return record
    logger.info("%s: its first unit runs again once Retrain's time, and with it the deadline, is known", record.name)
    return None


def _in_turn_with_retrain(
    context: UnitContext,
    todo: Sequence[SeedUnit],
    times: TimesNow,
    first: Record | None,
    slots: Sequence[Slot],
    observer: Observer,
    keep: bool,
) -> list[Record]:
    """Run units and what is missing of Retrain's times; ``first`` is the record of the one that has run."""
    wanted, to_measure = {unit.key for unit in todo}, {unit.key for unit in times.missing}
    failed: set[str] = set()

    def work(unit: SeedUnit, slot: Slot) -> Record | None:
        if unit.key in to_measure:
            return retrain_times.run(context, unit, slot)
        if unit.entry.id in failed:
            return None
        record = unit_run.run(context, unit, slot, _deadline(unit.track, times.seconds.values()))
        if record.status != "ok":
            failed.add(unit.entry.id)
        return record

    records: list[Record] = []
    unmatched = [] if first is None else [first]

    def match() -> None:
        for matched in [times.completes(each) for each in unmatched if each.seed in times.seconds]:
            if keep and matched.status != "infra":
                matched.save(context.references.store)
            records.append(matched)
        unmatched[:] = [each for each in unmatched if each.seed not in times.seconds]

    match()
    order = [unit for unit in in_turn(times, todo) if first is None or unit.key != first.key]
    if not order:
        return records
    title = "units, and Retrain's time on the other seeds" if to_measure else "units"
    for unit, record in unit_progress.followed(context, order, slots, work, observer, title):
        if record is None:
            continue
        if unit.key in to_measure:
            times = retrain_times.add(context, times, record)
        if unit.key in wanted:
            unmatched.append(record)
        match()
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


def _deadline(track: Track, retrain_seconds: Iterable[float]) -> float:
    """Return the seconds that a unit may take, by the times of Retrain that are known."""
    return max(track.protocol.deadline_floor, track.protocol.deadline_factor * max(retrain_seconds))
