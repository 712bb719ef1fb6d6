"""From entries to finished units: what is still to run, Retrain's time on this machine, and running it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from unlearn_bench.harness.entries.entry import Entry, retrain
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import timing_class
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import evaluation, units
from unlearn_bench.harness.units.evaluation import Bench
from unlearn_bench.harness.units.participant import said
from unlearn_bench.harness.units.slots import Slot, run_in_slots
from unlearn_bench.harness.units.units import Record, Unit

DRIFT = 0.10
"""Change of Retrain's time above which it is measured again on all seeds."""
LOOKS = 2
"""How often such a change must be seen: what a neighbour does for a moment does not cost all seeds."""
PROBES = 2
"""Seeds of Retrain that every command with timed units repeats."""
RETRAIN_DEADLINE = 86_400.0


class Listener(Protocol):
    """Shows people what happens."""

    def begin(self, title: str, total: int) -> None: ...
    def started(self, unit: Unit) -> None: ...
    def finished(self, unit: Unit, record: Record | None) -> None: ...
    def end(self) -> None: ...


def pending(store: Store, entry: Entry, track: Track, seeds: Sequence[int], again: bool = False) -> list[Unit]:
    """Units to run: those without a record. An entry with a failed unit cannot be ranked and is left alone, unless
    ``again`` asks for its failed and missing units."""
    todo, failed = [], False
    for seed in seeds:
        unit = Unit(entry, track, seed)
        record = units.find(store, unit)
        failed = failed or (record is not None and record.status != "ok")
        if record is None or record.status != "ok":
            todo.append(unit)
    return [] if failed and not again else todo


def run(
    bench: Bench, todo: Sequence[Unit], slots: Sequence[Slot], listener: Listener, *, keep: bool = True
) -> list[Record]:
    """Run timed units and keep their records (unless not to ``keep`` them); Retrain's time is made sure of first.

    The remaining units of an entry are skipped once one has failed: every seed must be ok for a rank.

    Raises:
        BenchError: Retrain itself failed.
    """
    if not todo:
        return []
    times = retrain_times(bench, slots, listener)
    protocol = bench.references.track.protocol
    deadline = max(protocol.deadline_floor, protocol.deadline_factor * max(times.values()))
    failed: set[str] = set()

    def work(unit: Unit, slot: Slot) -> Record | None:
        if unit.entry.id in failed:
            return None
        record = evaluation.run(bench, unit, slot, times[unit.seed], deadline)
        if record.status != "ok":
            failed.add(unit.entry.id)
        return record

    records = []
    for record in _run(bench, todo, slots, work, listener, "units"):
        if keep and record.status != "infra":
            record.save(bench.references.store)
        records.append(record)
    return records


def retrain_times(bench: Bench, slots: Sequence[Slot], listener: Listener) -> dict[int, float]:
    """Seconds that Retrain takes on each seed, by the same path on this machine.

    Measured on all seeds once per machine and environment and kept; two seeds are repeated now, and a drift above
    10 % that a second look confirms measures all of them again.
    """
    references, store = bench.references, bench.references.store
    track = references.track
    todo = [Unit(retrain(track), track, seed) for seed in range(track.protocol.seeds)]

    def work(unit: Unit, slot: Slot) -> Record:
        return evaluation.run(bench, unit, slot, None, RETRAIN_DEADLINE)

    def measure(todo: Sequence[Unit], title: str) -> dict[int, Record]:
        return {r.seed: _successful(track, r) for r in _run(bench, todo, slots, work, listener, title)}

    title = "Retrain's time, for RTE"
    for _ in range(LOOKS):
        probes = measure(todo[:PROBES], title)
        environment = next(iter(probes.values())).environment
        kind = f"retrain/{units.place(track)}"
        known = store.read(kind, timing_class(environment))
        if known is None:
            break
        before = {int(seed): seconds for seed, seconds in known["seconds"].items()}
        ratio = sum(_seconds(r) for r in probes.values()) / sum(before[seed] for seed in probes)
        if 1 / (1 + DRIFT) <= ratio <= 1 + DRIFT:
            return before
        title = f"Retrain's time again, since it was {ratio:.2f} times the earlier one"
    probes |= measure([unit for unit in todo if unit.seed not in probes], "Retrain's time on the other seeds")
    for record in probes.values():
        replace(record, retrain_seconds=record.seconds).save(store)
    seconds = {str(seed): _seconds(record) for seed, record in sorted(probes.items())}
    now = units.now()
    history = [*(known or {}).get("history", []), {"date": now, "seconds": seconds}]
    content = {"environment": dict(environment), "seconds": seconds, "date": now, "history": history}
    store.write(kind, timing_class(environment), content)
    return {seed: _seconds(record) for seed, record in probes.items()}


def _run(
    bench: Bench,
    todo: Sequence[Unit],
    slots: Sequence[Slot],
    work: Callable[[Unit, Slot], Record | None],
    listener: Listener,
    title: str,
) -> Iterator[Record]:
    def observed(unit: Unit, slot: Slot) -> Record | None:
        listener.started(unit)
        return work(unit, slot)

    listener.begin(title, len(todo))
    try:
        for unit, record in run_in_slots(todo, slots, observed, bench.stop):
            listener.finished(unit, record)
            if record is not None:
                yield record
    finally:
        listener.end()


def _successful(track: Track, record: Record) -> Record:
    if record.status != "ok":
        raise BenchError(
            f"Retrain did not finish: {said(track, record.status, record.reason)}",
            "this machine" if record.status in ("infra", "oom") else "the benchmark",
            "run `bench doctor`",
            EXIT_CODES["infra"],
        )
    return record


def _seconds(record: Record) -> float:
    assert record.seconds is not None
    return record.seconds
