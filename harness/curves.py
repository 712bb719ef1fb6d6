"""Curves of entries for people to look at, computed from logits once and kept beside the scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import units
from harness.references import Kind, References, Role
from harness.units import Record
from scoring import curves
from scoring.accuracy import cross_entropy

VERSION = 1
"""Raised whenever the same logits would give other curves."""


@dataclass(frozen=True)
class Curves:
    """Of the models of all seeds: counts [bins] of losses on F and T, mean true positive rates of an attack on them."""

    seeds: int
    forget: tuple[int, ...]
    test: tuple[int, ...]
    tpr: tuple[float, ...]
    """At the false positive rates ``scoring.curves.FPR``."""
    smallest: float
    """1 / |T|: below this no false positive rate can be resolved."""


def of_records(references: References, records: Iterable[Record]) -> Curves | None:
    """Over the finished seeds of an entry; ``None`` where no logits are here."""
    return _together(references, [_of_record(references, record) for record in records if record.status == "ok"])


def of_reference(references: References, kind: Kind) -> Curves | None:
    """Over the reference models of all seeds."""
    seeds = range(references.track.protocol.seeds)
    return _together(references, [_of_model(references, kind, seed) for seed in seeds])


def _together(references: References, found: list[dict[str, Any] | None]) -> Curves | None:
    known = [one for one in found if one is not None]
    if not known:
        return None
    forget, test = (np.sum([one[side] for one in known], axis=0).tolist() for side in ("forget", "test"))
    tpr = np.mean([one["tpr"] for one in known], axis=0).round(6).tolist()
    return Curves(len(known), tuple(forget), tuple(test), tuple(tpr), 1 / references.track.splits.test)


def _of_record(references: References, record: Record) -> dict[str, Any] | None:
    store, kind = references.store, _kind(references)
    if (known := store.read(kind, record.key)) is None and record.logits is not None and store.has(record.logits):
        logits = units.logits(store, record)
        assert logits is not None
        known = _computed(references, record.seed, logits)
        store.write(kind, record.key, known)
    return known


def _of_model(references: References, kind: Kind, seed: int) -> dict[str, Any]:
    name = f"{kind}-{seed}"
    if (known := references.store.read(_kind(references), name)) is None:
        known = _computed(references, seed, references.logits(Role(kind, seed)))
        references.store.write(_kind(references), name, known)
    return known


def _computed(references: References, seed: int, logits: NDArray[np.float32]) -> dict[str, Any]:
    labels, parts = references.dataset.labels, references.parts(seed)
    own, other = (cross_entropy(logits[parts[part]], labels[parts[part]]) for part in ("forget", "test"))
    content: Mapping[str, NDArray[Any]] = {
        "forget": curves.loss_histogram(own),
        "test": curves.loss_histogram(other),
        "tpr": curves.roc(own, other).round(6),
    }
    return {name: array.tolist() for name, array in content.items()}


def _kind(references: References) -> str:
    return f"curves/{units.place(references.track)}/{VERSION}"
