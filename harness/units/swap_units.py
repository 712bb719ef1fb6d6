"""Swapped units, for SWAP: originals that learnt a part T′ of the test set instead of F, and unlearn T′."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.behaviour import behaviour
from unlearn_bench.harness.units.records import Record, SwapRecord
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.unit_kinds import SwapUnit
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.evidence import SwapEvidence


def pending(references: References, entry: Entry, again: bool = False, trusted: bool = False) -> list[SwapUnit]:
    """Return the swapped units without a result, one per model seed.

    ``again``: a failed one counts as none. ``trusted``: so does one from a sandbox that is not trusted.
    """

    def due(unit: SwapUnit) -> bool:
        record = unit_store.find(references.store, unit)
        if record is None or (trusted and not record.trusted):
            return True
        return again and record.status not in ("ok", "not-applicable")

    track = references.track
    return [unit for seed in range(track.protocol.seeds) if due(unit := SwapUnit(entry, track, seed))]


def run(references: References, todo: Sequence[SwapUnit], runner: Runner) -> Iterator[tuple[SwapUnit, UntimedResult]]:
    """Run swapped units; yield each after its result is kept. A unit that ended as ``infra`` has not run."""
    if not todo:
        return
    for unit, result in runner.run(todo, deadline(references, todo[0])):
        if result.status != "infra":
            stored = None if result.logits is None else references.store.put(unit_store.pack(result.logits))
            record = SwapRecord(
                result.status,
                result.reason,
                stored,
                result.cpu_seconds,
                runner.trusted,
                log=result.log,
                behaviour=behaviour(references, unit, result.logits, result.weight_shift),
            )
            unit_store.keep(references.store, unit, record)
        yield unit, result


def evidence(references: References, record: Record) -> SwapEvidence | None:
    """Return what SWAP reads of a seed: a unit and its swapped twin; ``None`` if either has no logits here."""
    store = references.store
    twin = unit_store.read(store, SwapUnit, references.track, record.entry, str(record.seed))
    if twin is None or twin.logits is None or not store.has(twin.logits):
        return None
    logits = unit_store.logits(store, record)
    if logits is None:
        return None
    return _evidence(references, record.seed, logits, unit_store.unpack(store.get(twin.logits)))


def reference_evidence(references: References, kind: str, seed: int) -> SwapEvidence:
    """Return what SWAP reads of the reference models of a kind.

    ``retrained`` is a model that learnt neither F nor T′, which is the null; ``original`` is the two originals.

    Raises:
        StoreError: the swapped original is not trained.
    """
    if kind == "retrained":
        logits = twin = references.logits(Role("retrained", seed))
    else:
        logits, twin = references.logits(Role("original", seed)), references.logits(Role("swap", seed))
    return _evidence(references, seed, logits, twin)


def numbers(evidences: Sequence[SwapEvidence]) -> dict[str, dict[str, float]]:
    """Return the mean over seeds of every number of every attack that reads swapped models."""
    table = {}
    for attack in panel.attacks_on("swap"):
        runs = [attack.run(evidence) for evidence in evidences]
        table[attack.name] = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
    return table


def _evidence(
    references: References, seed: int, logits: NDArray[np.float32], twin: NDArray[np.float32]
) -> SwapEvidence:
    return SwapEvidence(
        logits=logits,
        swapped=twin,
        labels=references.examples.labels,
        forget=references.examples.split(seed).forget,
        substitute=references.examples.substitute(seed),
        val=references.examples.split(seed).val,
    )
