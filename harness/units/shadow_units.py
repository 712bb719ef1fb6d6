"""Shadow units: an entry forgets every forget set of every shadow split, and leaves φ for per-example attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.support.hardware import hardware, torch_version
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.behaviour import behaviour
from unlearn_bench.harness.units.records import ShadowRecord, ShadowUnitRecord, now, track_folder
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, Unit
from unlearn_bench.scoring.accuracy import accuracies, margins
from unlearn_bench.scoring.evidence import ShadowEvidence
from unlearn_bench.scoring.shadows import Columns, gather, gather_originals
from unlearn_bench.scoring.temperature import scaled
from unlearn_bench.scoring.ulira import ulira

LEAST_PAIRS = 4
"""Pairs of splits that run before an early stop: fewer say little about the spread between them."""
RETRAIN, ORIGINAL = "retrain", "original"


def keep(references: References, record: ShadowRecord) -> None:
    """Write or replace the record of all shadow units of an entry."""
    documents.write(references.store, document_kind(references), record.entry, record)


def records(references: References) -> list[ShadowRecord]:
    """Return the shadow records of a track, reference rows included."""
    stored = documents.read_all(references.store, document_kind(references), ShadowRecord)
    return [record for _, record in stored if _is_scaled(record)]


def find(references: References, entry: Entry) -> ShadowRecord | None:
    """Return the record of all shadow units of an entry, or ``None``."""
    return _read(references, entry.id)


def _read(references: References, name: str) -> ShadowRecord | None:
    record = documents.read(references.store, document_kind(references), name, ShadowRecord)
    return record if record is not None and _is_scaled(record) else None


def _is_scaled(record: ShadowRecord) -> bool:
    """Return whether φ is what attacks read: that of the logits as they were cannot be scaled afterwards."""
    return record.values is None or record.temperature is not None


def document_kind(references: References) -> str:
    """Return the kind of document under which the track's shadow records are stored."""
    return f"shadows/{track_folder(references.track)}"


def pending(
    references: References, entry: Entry, pairs: range | None = None, *, trusted: bool = False
) -> list[ShadowUnit]:
    """Return the shadow units of these pairs of splits (default: all) that have not run, pair by pair.

    ``trusted``: a unit from a sandbox that is not trusted counts as one that has not run.
    """
    protocol = references.track.protocol
    todo = []
    for pair in pairs or range(protocol.lira_splits // 2):
        for split in (2 * pair, 2 * pair + 1):
            for forget_set in range(protocol.lira_forget_sets):
                unit = ShadowUnit(entry, references.track, split, forget_set)
                record = _finished(references, unit)
                if record is None or (trusted and not record.trusted):
                    todo.append(unit)
    return todo


def estimate(references: References, todo: Sequence[ShadowUnit], runner: Runner) -> float | None:
    """Return the wall seconds of one entry's shadow units, from the CPU seconds of its timed ones scaled by |R|.

    ``None`` where no timed unit of the entry has run.
    """
    if not todo:
        return 0.0
    first = todo[0]
    timed = unit_store.find(references.store, SeedUnit(first.entry, first.track, 0))
    if timed is None or timed.cpu_seconds is None:
        return None
    share = len(first.parts(references.examples)["retain"]) / references.track.splits.retain
    return len(todo) * (timed.cpu_seconds * share + runner.overhead) / runner.at_once


def run(
    references: References,
    entry: Entry,
    runner: Runner,
    narrow: float | None = None,
    on_unit: Callable[[Unit, UntimedResult], None] = lambda unit, result: None,
) -> ShadowRecord:
    """Run the missing shadow units and keep what attacks read; resume where a killed run stopped.

    Args:
        references: the track's models, all shadow models included.
        entry: the entry, with the parameters that it is run with.
        runner: runs the units.
        narrow: stop early, after four pairs of splits or more, once the half-width of the 95 % interval of the U-LiRA
            accuracy is at most this.
        on_unit: called with every finished unit and its result.
    """
    track = references.track
    total = track.protocol.lira_splits // 2
    steps = [range(total)] if narrow is None else [range(pair, pair + 1) for pair in range(total)]
    limit = deadline(references, ShadowUnit(entry, track, 0, 0))
    started = _started(entry, runner, narrow)
    done = 0
    for step in steps:
        for unit, result in runner.run(pending(references, entry, step, trusted=runner.trusted), limit):
            on_unit(unit, result)
            if result.status != "infra":
                keep_unit(references, unit, result, runner.trusted)
            if result.status != "ok":
                return _failed(references, replace(started, pairs=done), unit, result)
        done = step.stop
        if narrow is not None and done >= LEAST_PAIRS and _half_width(references, entry, done) <= narrow:
            break
    return _complete(references, replace(started, pairs=done), entry)


def failed(references: References, entry: Entry, runner: Runner, unit: Unit, result: UntimedResult) -> ShadowRecord:
    """Return the record of an entry whose probe unit failed before its shadow units began."""
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
        date=now(),
        environment={**hardware(), "backend": runner.backend, "torch": torch_version()},
        parameters={**entry.defaults, **entry.overrides},
    )


def evidence(references: References, record: ShadowRecord) -> ShadowEvidence:
    """Return what attacks read of the finished shadow units of an entry or a reference row: its first ``pairs``.

    Raises:
        StoreError: arrays, or shadow reference models, are missing.
    """
    retrained, original = (_columns(references, _reference(references, name)) for name in (RETRAIN, ORIGINAL))
    unlearned = _columns(references, record)
    p = record.pairs
    shadow_evidence = ShadowEvidence(
        forgotten=unlearned.forgotten[:, :p],
        never=unlearned.never[:, :p],
        retained=unlearned.retained[:, :p],
        absent=unlearned.absent[:, :p],
        retrained=retrained.forgotten[:, :p],
        retrained_never=retrained.never[:, :p],
        original=original.forgotten[:, :p],
        original_never=original.never[:, :p],
        labels=references.examples.labels[references.examples.population],
        stopped=record.stopped(references.track),
    )
    return shadow_evidence.null() if record.entry == RETRAIN else shadow_evidence


def reference_rows(references: References) -> list[ShadowRecord]:
    """Return the shadow records of Retrain and Original, made from the reference models where they are not stored."""
    return [_reference(references, name) for name in (RETRAIN, ORIGINAL)]


def _reference(references: References, name: str) -> ShadowRecord:
    if (stored := _read(references, name)) is not None:
        return stored
    shadows, protocol = references.examples.design, references.track.protocol
    splits, sets = range(protocol.lira_splits), range(protocol.lira_forget_sets)
    models: list[tuple[float | None, Mapping[str, float]]] = []

    def phi(role: Role, forget_set: int = 0) -> NDArray[np.float32]:
        model = _model(references, references.examples.shadow_parts(role.seed, forget_set), references.logits(role))
        models.append((model.temperature, model.accuracies))
        return model.phi

    if name == RETRAIN:
        columns = gather(shadows, (np.stack([phi(Role("shadow-retrained", s, g), g) for g in sets]) for s in splits))
    else:
        trained, never = gather_originals(shadows, (phi(Role("shadow", s)) for s in splits))
        columns = Columns(trained, never, trained, never)
    record = ShadowRecord(
        entry=name,
        name=name,
        sha256="",
        status="ok",
        reason="",
        pairs=len(splits) // 2,
        values=_pack(references, columns),
        cpu_seconds=None,
        narrow=None,
        trusted=True,
        date=now(),
        **_means(models),
    )
    keep(references, record)
    return record


@dataclass(frozen=True)
class _Model:
    """What is kept of one shadow model: φ [population], from scaled logits, its temperature, and RA, FA, VA and TA."""

    phi: NDArray[np.float32]
    temperature: float
    accuracies: Mapping[str, float]


def _model(references: References, parts: Mapping[str, NDArray[np.int64]], logits: NDArray[np.float32]) -> _Model:
    labels, population = references.examples.labels, references.examples.population
    at_temperature = scaled(logits, labels, parts["val"])
    phi = margins(at_temperature.logits[population], labels[population])
    return _Model(phi.astype(np.float32), at_temperature.temperature, asdict(accuracies(logits, labels, parts)))


def _means(models: Sequence[tuple[float | None, Mapping[str, float]]]) -> dict[str, Any]:
    """Return the fields of a record that are means over its models."""
    temperatures = np.array([0.0 if temperature is None else temperature for temperature, _ in models])
    parts = models[0][1]
    return {
        "temperature": float(np.exp(np.log(temperatures).mean())) if temperatures.all() else 0.0,
        "accuracies": {part: float(np.mean([of_model[part] for _, of_model in models])) for part in parts},
    }


def _half_width(references: References, entry: Entry, pairs: int) -> float:
    columns = _gathered(references, entry, pairs)
    accuracy = ulira(columns.forgotten, columns.never, stopped=True)
    return (accuracy.high - accuracy.low) / 2


def _gathered(references: References, entry: Entry, pairs: int) -> Columns:
    def splits() -> Iterator[NDArray[np.float32]]:
        for split in range(2 * pairs):
            rows = []
            for forget_set in range(references.track.protocol.lira_forget_sets):
                record = _finished(references, ShadowUnit(entry, references.track, split, forget_set))
                assert record is not None and record.phi is not None
                rows.append(np.frombuffer(references.store.get(record.phi), dtype="<f4"))
            yield np.stack(rows)

    return gather(references.examples.design, splits())


def _complete(references: References, record: ShadowRecord, entry: Entry) -> ShadowRecord:
    stored = unit_store.of_entry(references.store, ShadowUnit, references.track, entry.id).values()
    units = [unit for unit in stored if unit.temperature is not None]
    seconds = [unit.cpu_seconds for unit in units if unit.cpu_seconds is not None]
    record = replace(
        record,
        values=_pack(references, _gathered(references, entry, record.pairs)),
        cpu_seconds=round(float(np.mean(seconds)), 4) if seconds else None,
        trusted=all(unit.trusted for unit in units),
        date=now(),
        behaviour=_pair_behaviour(references, entry, record.pairs),
        **_means([(unit.temperature, unit.accuracies) for unit in units]),
    )
    keep(references, record)
    return record


def _pair_behaviour(references: References, entry: Entry, pairs: int) -> dict[str, tuple[float, ...]]:
    """Return the means over the units of each pair, of the numbers that are known of all of them."""
    by_pair = [
        [
            record.behaviour
            for split in (2 * pair, 2 * pair + 1)
            for forget_set in range(references.track.protocol.lira_forget_sets)
            if (record := _finished(references, ShadowUnit(entry, references.track, split, forget_set))) is not None
        ]
        for pair in range(pairs)
    ]
    known = set.intersection(*(set(numbers) for units in by_pair for numbers in units))
    return {
        name: tuple(round(float(np.mean([numbers[name] for numbers in units])), 6) for units in by_pair)
        for name in sorted(known)
    }


def _failed(references: References, record: ShadowRecord, unit: Unit, result: UntimedResult) -> ShadowRecord:
    record = replace(record, status=result.status, reason=result.reason, failed=unit.description, log=result.log)
    if result.status != "infra":  # not the entry's fault: as if it had not run
        keep(references, record)
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


def _finished(references: References, unit: ShadowUnit) -> ShadowUnitRecord | None:
    record = unit_store.find(references.store, unit)
    if record is None or record.status != "ok" or record.phi is None or record.temperature is None:
        return None
    return record if references.store.has(record.phi) else None


def keep_unit(references: References, unit: ShadowUnit, result: UntimedResult, trusted: bool) -> None:
    """Keep what attacks read of a shadow unit that has run: φ, from scaled logits, and its accuracies."""
    seconds = None if result.cpu_seconds is None else round(result.cpu_seconds, 4)
    record = ShadowUnitRecord(result.status, result.reason, None, seconds, trusted, result.log)
    if result.logits is not None:
        model = _model(references, unit.parts(references.examples), result.logits)
        phi = references.store.put(model.phi.astype("<f4").tobytes())
        record = replace(
            record,
            phi=phi,
            temperature=model.temperature,
            accuracies=model.accuracies,
            behaviour=behaviour(references, unit, result.logits, result.weight_shift),
        )
    unit_store.keep(references.store, unit, record)
