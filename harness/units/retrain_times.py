"""Retrain's time on this machine: measured once per seed, looked at by every command, measured anew after a change.

What is to be measured runs among the units of the command: see :func:`harness.units.timed_units.run`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn_bench.harness.entries.entry import retrain
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import timing_class
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import unit_progress, unit_run
from unlearn_bench.harness.units.disclosure import disclosed_status
from unlearn_bench.harness.units.records import Record, now, track_folder
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext

DRIFT = 0.10
"""Change of Retrain's time above which it is measured again."""
LOOKS = 2
"""How often such a change must be seen: a moment's disturbance must not cost a new measurement."""
PROBES = 2
"""Seeds of Retrain that every command with timed units repeats."""
DEADLINE = 86_400.0


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


@dataclass(frozen=True)
class TimesNow:
    """What a command takes for Retrain's times, as far as it knows them."""

    seconds: Mapping[int, float]
    """By seed."""
    measured: tuple[Record, ...] = ()
    """The records that they are taken from, if this command measures them anew."""
    missing: tuple[SeedUnit, ...] = ()
    """Retrain's units that this command has still to run."""

    def completes(self, record: Record) -> Record:
        """Return the record of a unit with Retrain's time for its seed, which must be known.

        The unit is disturbed if Retrain was: their ratio is.
        """
        beside = next((measured.disturbed for measured in self.measured if measured.seed == record.seed), "")
        disturbed = record.disturbed or (beside and f"of Retrain: {beside}")
        return replace(record, retrain_seconds=self.seconds[record.seed], disturbed=disturbed)


def run(context: UnitContext, unit: SeedUnit, slot: Slot) -> Record:
    """Run a unit of Retrain."""
    return unit_run.run(context, unit, slot, DEADLINE)


def longest(context: UnitContext) -> float:
    """Return the most seconds that Retrain is known to take, on whatever machine; 0 before it was timed."""
    stored = documents.read_all(context.references.store, _kind(context.references.track), RetrainTimes)
    return max((seconds for _, times in stored for seconds in times.seconds.values()), default=0.0)


def look(context: UnitContext, slots: Sequence[Slot], observer: Observer, seeds: Collection[int]) -> TimesNow:
    """Repeat two seeds of Retrain, and return the times that are kept for this machine and environment.

    Of the ``seeds`` whose times the command needs, those that were never measured are missing. If nothing is kept, or
    the times have drifted by more than 10 % and a second look confirms it, the two are the first of a new measurement.
    A disturbed look says nothing about a drift.

    Raises:
        BenchError: Retrain failed.
    """
    track = context.references.track
    every = [SeedUnit(retrain(track), track, seed) for seed in range(track.protocol.seeds)]
    todo, needed = every[:PROBES], [unit for unit in every if unit.seed in seeds]

    def work(unit: SeedUnit, slot: Slot) -> Record:
        return run(context, unit, slot)

    title = "Retrain's time, for RTE"
    for _ in range(LOOKS):
        looked = unit_progress.followed(context, todo, slots, work, observer, title)
        probes = sorted((_successful(context, record) for _, record in looked), key=lambda record: record.seed)
        stored = _stored(context, track, probes[0])
        if stored is None:
            break
        seconds = {int(seed): value for seed, value in stored.seconds.items()}
        times = TimesNow(seconds, missing=tuple(unit for unit in needed if unit.seed not in seconds))
        if any(record.disturbed for record in probes):
            return times
        ratio = sum(map(_seconds, probes)) / sum(seconds[record.seed] for record in probes)
        if 1 / (1 + DRIFT) <= ratio <= 1 + DRIFT:
            return times
        title = f"Retrain's time again, since it was {ratio:.2f} times the earlier one"
    times = TimesNow({}, missing=tuple({unit.seed: unit for unit in (*todo, *needed)}.values()))
    for record in probes:
        times = add(context, times, record)
    return times


def add(context: UnitContext, times: TimesNow, record: Record) -> TimesNow:
    """Return the times with one more unit of Retrain; with the last one they are kept, unless some are disturbed.

    Raises:
        BenchError: the unit failed.
    """
    measured = tuple(sorted((*times.measured, _successful(context, record)), key=lambda each: each.seed))
    missing = tuple(unit for unit in times.missing if unit.seed != record.seed)
    seconds = {**times.seconds, record.seed: _seconds(record)}
    if not missing and not any(each.disturbed for each in measured):
        _keep(context, seconds, measured)
    return TimesNow(seconds, measured, missing)


def _keep(context: UnitContext, seconds: Mapping[int, float], measured: Sequence[Record]) -> None:
    store, track = context.references.store, context.references.track
    for record in measured:
        replace(record, retrain_seconds=record.seconds).save(store)
    stored = _stored(context, track, measured[0])
    latest = Measurement(now(), {str(record.seed): _seconds(record) for record in measured})
    environment = measured[0].environment
    by_seed = {str(seed): seconds[seed] for seed in sorted(seconds)}
    times = RetrainTimes(environment, by_seed, latest.date, (*(stored.history if stored else ()), latest))
    documents.write(store, _kind(track), timing_class(environment), times)


def _stored(context: UnitContext, track: Track, record: Record) -> RetrainTimes | None:
    """Return the times that are kept for the machine and environment of a record."""
    return documents.read(context.references.store, _kind(track), timing_class(record.environment), RetrainTimes)


def _kind(track: Track) -> str:
    return f"retrain/{track_folder(track)}"


def _successful(context: UnitContext, record: Record) -> Record:
    if record.status != "ok":
        what = disclosed_status(context.references.track, record.status, record.reason)
        raise BenchError(
            f"Retrain did not finish: {what}",
            "this machine" if record.status in ("infra", "oom") else "the benchmark",
            "run `bench doctor`",
            EXIT_CODES["infra"],
        )
    return record


def _seconds(record: Record) -> float:
    assert record.seconds is not None
    return record.seconds
