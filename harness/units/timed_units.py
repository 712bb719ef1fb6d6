"""From entries to finished timed units: which have still to run, Retrain's time on this machine, and the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn_bench.harness.entries.entry import Entry, retrain
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import timing_class
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import unit_progress, unit_run, unit_store
from unlearn_bench.harness.units.disclosure import disclosed_status
from unlearn_bench.harness.units.records import Record, now, track_folder
from unlearn_bench.harness.units.slots import Slot, run_in_slots
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext

DRIFT = 0.10
"""Change of Retrain's time above which it is measured again on all seeds."""
LOOKS = 2
"""How often such a change must be seen: a moment's disturbance must not cost a measurement on all seeds."""
PROBES = 2
"""Seeds of Retrain that every command with timed units repeats."""
RETRAIN_DEADLINE = 86_400.0


@dataclass(frozen=True)
class TimesNow:
    """What a command takes for Retrain's times."""

    seconds: Mapping[int, float]
    """By seed."""
    disturbed: str = ""
    """What ran beside Retrain in every attempt; such times are not kept."""


@dataclass(frozen=True)
class Measurement:
    """One measurement of Retrain's seconds, by seed."""

    date: str
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class RetrainTimes:
    """Retrain's seconds by seed on one kind of machine, and every earlier measurement of them."""

    environment: Mapping[str, Any]
    seconds: Mapping[str, float]
    date: str
    history: tuple[Measurement, ...] = ()


def pending(store: Store, entry: Entry, track: Track, seeds: Sequence[int], again: bool = False) -> list[SeedUnit]:
    """Return the units to run: those without a record.

    An entry with a failed unit has no position: none of its units is run, unless ``again`` asks for the failed, missing
    and disturbed ones.
    """
    todo, failed = [], False
    for seed in seeds:
        unit = SeedUnit(entry, track, seed)
        record = unit_store.find(store, unit)
        failed = failed or (record is not None and record.status != "ok")
        if record is None or record.status != "ok" or (again and record.disturbed):
            todo.append(unit)
    return [] if failed and not again else todo


def run(
    context: UnitContext, todo: Sequence[SeedUnit], slots: Sequence[Slot], observer: Observer, *, keep: bool = True
) -> list[Record]:
    """Run timed units and ``keep`` their records, after Retrain's time is known.

    The remaining units of an entry are skipped once one has failed: every seed must be ok for a rank.

    Raises:
        BenchError: Retrain itself failed.
    """
    if not todo:
        return []
    times = retrain_times(context, slots, observer)
    protocol = context.references.track.protocol
    deadline = max(protocol.deadline_floor, protocol.deadline_factor * max(times.seconds.values()))
    failed: set[str] = set()

    def work(unit: SeedUnit, slot: Slot) -> Record | None:
        if unit.entry.id in failed:
            return None
        record = unit_run.run(context, unit, slot, times.seconds[unit.seed], deadline)
        record = replace(record, disturbed=record.disturbed or times.disturbed)
        if record.status != "ok":
            failed.add(unit.entry.id)
        return record

    records = []
    for record in _run(context, todo, slots, work, observer, "units"):
        if keep and record.status != "infra":
            record.save(context.references.store)
        records.append(record)
    return records


def retrain_times(context: UnitContext, slots: Sequence[Slot], observer: Observer) -> TimesNow:
    """Return the seconds that Retrain takes on each seed, by the same path on this machine.

    Measured on all seeds once per machine and environment and kept; two seeds are repeated now, and a drift above
    10 % that a second look confirms measures all of them again. A disturbed look says nothing about a drift.
    """
    references, store = context.references, context.references.store
    track = references.track
    todo = [SeedUnit(retrain(track), track, seed) for seed in range(track.protocol.seeds)]

    def work(unit: SeedUnit, slot: Slot) -> Record:
        return unit_run.run(context, unit, slot, None, RETRAIN_DEADLINE)

    def measure(todo: Sequence[SeedUnit], title: str) -> dict[int, Record]:
        return {r.seed: _successful(track, r) for r in _run(context, todo, slots, work, observer, title)}

    title = "Retrain's time, for RTE"
    for _ in range(LOOKS):
        probes = measure(todo[:PROBES], title)
        environment = next(iter(probes.values())).environment
        kind, name = f"retrain/{track_folder(track)}", timing_class(environment)
        stored = documents.read(store, kind, name, RetrainTimes)
        if stored is None:
            break
        stored_seconds = {int(seed): seconds for seed, seconds in stored.seconds.items()}
        if any(record.disturbed for record in probes.values()):
            return TimesNow(stored_seconds)
        ratio = sum(_seconds(record) for record in probes.values()) / sum(stored_seconds[seed] for seed in probes)
        if 1 / (1 + DRIFT) <= ratio <= 1 + DRIFT:
            return TimesNow(stored_seconds)
        title = f"Retrain's time again, since it was {ratio:.2f} times the earlier one"
    probes |= measure([unit for unit in todo if unit.seed not in probes], "Retrain's time on the other seeds")
    seconds = {seed: _seconds(record) for seed, record in sorted(probes.items())}
    if disturbed := next((record.disturbed for record in probes.values() if record.disturbed), ""):
        return TimesNow(seconds, f"of Retrain: {disturbed}")
    for record in probes.values():
        replace(record, retrain_seconds=record.seconds).save(store)
    measured = Measurement(now(), {str(seed): value for seed, value in seconds.items()})
    history = (*(stored.history if stored else ()), measured)
    documents.write(store, kind, name, RetrainTimes(environment, measured.seconds, measured.date, history))
    return TimesNow(seconds)


def _run(
    context: UnitContext,
    todo: Sequence[SeedUnit],
    slots: Sequence[Slot],
    work: Callable[[SeedUnit, Slot], Record | None],
    observer: Observer,
    title: str,
) -> Iterator[Record]:
    with observer.units(title, len(todo)) as progress:

        def observed(unit: SeedUnit, slot: Slot) -> Record | None:
            progress.started(unit.key, unit_progress.running(unit))
            return work(unit, slot)

        for unit, record in run_in_slots(todo, slots, observed, context.stop):
            progress.finished(unit.key, unit_progress.ended(unit, record), record is None or record.status == "ok")
            if record is not None:
                yield record


def _successful(track: Track, record: Record) -> Record:
    if record.status != "ok":
        raise BenchError(
            f"Retrain did not finish: {disclosed_status(track, record.status, record.reason)}",
            "this machine" if record.status in ("infra", "oom") else "the benchmark",
            "run `bench doctor`",
            EXIT_CODES["infra"],
        )
    return record


def _seconds(record: Record) -> float:
    assert record.seconds is not None
    return record.seconds
