"""Swapped units, for SWAP: originals that learnt a part T′ of the test set instead of F, and unlearn T′."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.references import References, Role
from unlearn_bench.harness.units import units
from unlearn_bench.harness.units.units import Record, Unit
from unlearn_bench.harness.units.untimed import Result, Runner, deadline
from unlearn_bench.scoring import panel
from unlearn_bench.scoring.evidence import SwapEvidence


def pending(references: References, entry: Entry) -> list[Unit]:
    """Swapped units without a result, one per model seed."""
    track = references.track
    todo = [Unit(entry, track, seed, swapped=True) for seed in range(track.protocol.seeds)]
    return [unit for unit in todo if references.store.read(_folder(references, entry.id), str(unit.seed)) is None]


def run(references: References, todo: Sequence[Unit], runner: Runner) -> Iterator[tuple[Unit, Result]]:
    """Run swapped units; yields each after its result is kept. ``infra`` is as if it had not run."""
    if not todo:
        return
    for unit, result in runner.run(todo, deadline(references, todo[0])):
        if result.status != "infra":
            stored = None if result.logits is None else references.store.put(units.pack(result.logits))
            content = {**dataclasses.asdict(result), "logits": stored, "trusted": runner.trusted}
            references.store.write(_folder(references, unit.entry.id), str(unit.seed), content)
        yield unit, result


def evidence(references: References, record: Record) -> SwapEvidence | None:
    """What SWAP reads of a seed: the unit and its swapped twin; ``None`` where either has no logits here."""
    found = references.store.read(_folder(references, record.entry), str(record.seed))
    if found is None or found["logits"] is None or not references.store.has(found["logits"]):
        return None
    own = units.logits(references.store, record)
    if own is None:
        return None
    return _evidence(references, record.seed, own, units.unpack(references.store.get(found["logits"])))


def reference_evidence(references: References, kind: str, seed: int) -> SwapEvidence:
    """The same of a model that learnt neither (``retrained``: the zero line), or of the two originals.

    Raises:
        StoreError: the swapped original is not trained.
    """
    if kind == "retrained":
        own = twin = references.logits(Role("retrained", seed))
    else:
        own, twin = references.logits(Role("original", seed)), references.logits(Role("swap", seed))
    return _evidence(references, seed, own, twin)


def cpu_seconds(references: References, entry: str) -> float | None:
    """Mean CPU seconds of an entry's swapped units; ``None`` without any."""
    found = [document["cpu_seconds"] for _, document in references.store.all(_folder(references, entry))]
    known = [seconds for seconds in found if seconds is not None]
    return float(np.mean(known)) if known else None


def numbers(found: Sequence[SwapEvidence]) -> dict[str, dict[str, float]]:
    """Mean over seeds of every number of every attack of the panel that reads swapped models."""
    table = {}
    for attack in panel.reading("swap"):
        runs = [attack.run(one) for one in found]
        table[attack.name] = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
    return table


def _evidence(references: References, seed: int, own: NDArray[np.float32], twin: NDArray[np.float32]) -> SwapEvidence:
    return SwapEvidence(
        logits=own,
        swapped=twin,
        labels=references.labels,
        forget=references.split(seed).forget,
        substitute=references.substitute(seed),
    )


def _folder(references: References, entry: str) -> str:
    return f"swap-units/{units.place(references.track)}/{entry}"
