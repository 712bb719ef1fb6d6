"""Shadow units: an entry forgets every forget set of every shadow split, and leaves φ for per-example attacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References, Role
from unlearn_bench.harness.support.hardware import hardware, torch_version
from unlearn_bench.harness.units import units
from unlearn_bench.harness.units.units import Unit
from unlearn_bench.harness.units.untimed import Result, Runner, deadline
from unlearn_bench.sandbox.types import Status
from unlearn_bench.scoring.accuracy import margins
from unlearn_bench.scoring.evidence import ShadowEvidence
from unlearn_bench.scoring.shadows import Columns, gather, gather_originals
from unlearn_bench.scoring.ulira import ulira

LEAST_PAIRS = 4
"""Pairs of splits before an early stop: fewer say little about the spread between them."""
RETRAIN, ORIGINAL = "retrain", "original"


@dataclass(frozen=True)
class ShadowRecord:
    """What is kept of all shadow units of one entry."""

    entry: str
    """The entry's id; ``retrain`` or ``original`` for the reference rows."""
    name: str
    sha256: str
    status: Status
    reason: str
    pairs: int
    """How many complementary pairs of splits have run."""
    values: str | None
    """SHA-256 of φ [population, pairs] under the names of :class:`scoring.shadows.Columns`."""
    cpu_seconds: float | None
    """Mean of a unit."""
    narrow: float | None
    """Half-width of the interval at which the run was told to stop early."""
    trusted: bool
    date: str
    environment: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""
    """Which unit failed."""
    log: str = ""
    """Of the unit that failed."""

    def save(self, references: References) -> None:
        references.store.write(folder(references), self.entry, dataclasses.asdict(self))


def folder(references: References) -> str:
    """Kind of document under which the track's shadow records are stored."""
    return f"shadows/{units.place(references.track)}"


def records(references: References) -> list[ShadowRecord]:
    """All shadow records of a track, reference rows included."""
    return [ShadowRecord(**document) for _, document in references.store.all(folder(references))]


def find(references: References, entry: Entry) -> ShadowRecord | None:
    document = references.store.read(folder(references), entry.id)
    return None if document is None else ShadowRecord(**document)


def pending(references: References, entry: Entry, pairs: range | None = None) -> list[Unit]:
    """Shadow units of these pairs (default: all) that have not run, pair by pair."""
    protocol = references.track.protocol
    todo = []
    for pair in pairs or range(protocol.lira_splits // 2):
        for split in (2 * pair, 2 * pair + 1):
            for forget_set in range(protocol.lira_forget_sets):
                unit = Unit(entry, references.track, split, forget_set)
                if _read(references, unit) is None:
                    todo.append(unit)
    return todo


def estimate(references: References, todo: Sequence[Unit], runner: Runner) -> float | None:
    """Wall seconds of one entry's shadow units, or ``None``: from the CPU seconds of its timed units, scaled by |R|."""
    if not todo:
        return 0.0
    first = todo[0]
    timed = units.find(references.store, Unit(first.entry, first.track, 0))
    if timed is None or timed.cpu_seconds is None:
        return None
    share = len(first.parts(references)["retain"]) / references.track.splits.retain
    return len(todo) * (timed.cpu_seconds * share + runner.overhead) / runner.at_once


def run(
    references: References,
    entry: Entry,
    runner: Runner,
    narrow: float | None = None,
    on_unit: Callable[[Unit, Result], None] = lambda unit, result: None,
) -> ShadowRecord:
    """Run the shadow units that lack and keep what attacks read; goes on where a killed run stopped.

    Args:
        references: with all shadow models.
        entry: with the parameters to run with.
        runner: where.
        narrow: stop after a pair of splits, of at least four, once the 95 % interval of the U-LiRA accuracy is no wider
            than ± this.
        on_unit: told of every finished unit.
    """
    track = references.track
    total = track.protocol.lira_splits // 2
    steps = [range(total)] if narrow is None else [range(pair, pair + 1) for pair in range(total)]
    limit = deadline(references, Unit(entry, track, 0, 0))
    started = _started(entry, runner, narrow)
    done = 0
    for step in steps:
        for unit, result in runner.run(pending(references, entry, step), limit):
            on_unit(unit, result)
            if result.status != "infra":
                _write(references, unit, result, runner.trusted)
            if result.status != "ok":
                return _failed(references, replace(started, pairs=done), unit, result)
        done = step.stop
        if narrow is not None and done >= LEAST_PAIRS and _half_width(references, entry, done) <= narrow:
            break
    return _complete(references, replace(started, pairs=done), entry)


def failed(references: References, entry: Entry, runner: Runner, unit: Unit, result: Result) -> ShadowRecord:
    """The record of an entry of which a unit failed before its shadow units began."""
    return _failed(references, _started(entry, runner, None), unit, result)


def _started(entry: Entry, runner: Runner, narrow: float | None) -> ShadowRecord:
    return ShadowRecord(
        entry=entry.id,
        name=entry.name,
        sha256=entry.sha256,
        status="ok",
        reason="",
        pairs=0,
        values=None,
        cpu_seconds=None,
        narrow=narrow,
        trusted=runner.trusted,
        date=units.now(),
        environment={**hardware(), "backend": runner.backend, "torch": torch_version()},
        parameters={**entry.defaults, **entry.overrides},
    )


def evidence(references: References, record: ShadowRecord) -> ShadowEvidence:
    """What attacks read of an entry, or of a reference row, whose shadow units are done: its first ``pairs`` pairs.

    Raises:
        StoreError: arrays, or shadow reference models, are missing.
    """
    retrained, original = (_columns(references, _reference(references, name)) for name in (RETRAIN, ORIGINAL))
    own = _columns(references, record)
    p = record.pairs
    found = ShadowEvidence(
        forgotten=own.forgotten[:, :p],
        never=own.never[:, :p],
        retained=own.retained[:, :p],
        absent=own.absent[:, :p],
        retrained=retrained.forgotten[:, :p],
        retrained_never=retrained.never[:, :p],
        original=original.forgotten[:, :p],
        original_never=original.never[:, :p],
        labels=references.labels[references.population],
    )
    return found.null() if record.entry == RETRAIN else found


def reference_rows(references: References) -> list[ShadowRecord]:
    """The shadow records of Retrain and Original, made from the reference models where they are not stored."""
    return [_reference(references, name) for name in (RETRAIN, ORIGINAL)]


def _reference(references: References, name: str) -> ShadowRecord:
    document = references.store.read(folder(references), name)
    if document is not None:
        return ShadowRecord(**document)
    shadows, protocol = references.design, references.track.protocol
    splits, sets = range(protocol.lira_splits), range(protocol.lira_forget_sets)
    if name == RETRAIN:
        columns = gather(
            shadows,
            (np.stack([_reference_phi(references, Role("shadow-retrained", s, g)) for g in sets]) for s in splits),
        )
    else:
        own, never = gather_originals(shadows, (_reference_phi(references, Role("shadow", s)) for s in splits))
        columns = Columns(own, never, own, never)
    values = _pack(references, columns)
    record = ShadowRecord(
        name, name, "", "ok", "", len(splits) // 2, values, None, None, True, units.now(), parameters={}, environment={}
    )
    record.save(references)
    return record


def _reference_phi(references: References, role: Role) -> NDArray[np.float32]:
    population = references.population
    logits = references.logits(role)[population]
    return margins(logits, references.labels[population]).astype(np.float32)


def _half_width(references: References, entry: Entry, pairs: int) -> float:
    columns = _gathered(references, entry, pairs)
    found = ulira(columns.forgotten, columns.never)
    return (found.high - found.low) / 2


def _gathered(references: References, entry: Entry, pairs: int) -> Columns:
    def splits() -> Iterator[NDArray[np.float32]]:
        for split in range(2 * pairs):
            rows = []
            for forget_set in range(references.track.protocol.lira_forget_sets):
                document = _read(references, Unit(entry, references.track, split, forget_set))
                assert document is not None
                rows.append(np.frombuffer(references.store.get(document["phi"]), dtype="<f4"))
            yield np.stack(rows)

    return gather(references.design, splits())


def _complete(references: References, record: ShadowRecord, entry: Entry) -> ShadowRecord:
    documents = [document for _, document in references.store.all(_units(references, entry))]
    seconds = [document["cpu_seconds"] for document in documents if document["cpu_seconds"] is not None]
    record = replace(
        record,
        values=_pack(references, _gathered(references, entry, record.pairs)),
        cpu_seconds=round(float(np.mean(seconds)), 4) if seconds else None,
        trusted=all(document["trusted"] for document in documents),
        date=units.now(),
    )
    record.save(references)
    return record


def _failed(references: References, record: ShadowRecord, unit: Unit, result: Result) -> ShadowRecord:
    record = replace(record, status=result.status, reason=result.reason, failed=unit.place, log=result.log)
    if result.status != "infra":  # our fault: as if it had not run
        record.save(references)
    return record


def _columns(references: References, record: ShadowRecord) -> Columns:
    from safetensors.numpy import load

    assert record.values is not None
    arrays = load(references.store.get(record.values))
    return Columns(**{name: array.astype(np.float32) for name, array in arrays.items()})


def _pack(references: References, columns: Columns) -> str:
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in vars(columns).items()}
    return references.store.put(save(arrays))


def _read(references: References, unit: Unit) -> dict[str, Any] | None:
    document = references.store.read(_units(references, unit.entry), f"{unit.seed}-{unit.forget_set}")
    if document is None or document["status"] != "ok" or not references.store.has(document["phi"]):
        return None
    return document


def _write(references: References, unit: Unit, result: Result, trusted: bool) -> None:
    """φ (float32) of the population: twenty times smaller than all logits, and all that per-example attacks read."""
    phi = None
    if result.logits is not None:
        population = references.population
        phi = margins(result.logits[population], references.labels[population]).astype("<f4").tobytes()
    content = {
        "status": result.status,
        "reason": result.reason,
        "phi": None if phi is None else references.store.put(phi),
        "cpu_seconds": None if result.cpu_seconds is None else round(result.cpu_seconds, 4),
        "trusted": trusted,
        "log": result.log,
    }
    references.store.write(_units(references, unit.entry), f"{unit.seed}-{unit.forget_set}", content)


def _units(references: References, entry: Entry) -> str:
    return f"shadow-units/{units.place(references.track)}/{entry.id}"
