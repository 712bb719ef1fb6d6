"""Scores of single models: a pure function of stored logits, cached beside the records."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import units
from harness.references import Kind, References, Role
from harness.store import Store
from harness.track import Track, digest
from harness.units import Record
from scoring.accuracy import Accuracies, accuracies, cross_entropy
from scoring.retention import retention
from scoring.umia import indiscernibility, umia

VERSION = 1
"""Raised whenever the same logits would give other numbers."""


@dataclass(frozen=True)
class Scores:
    """One model's numbers for one seed (evaluation page, section 3): fractions in [0, 1], RetDev from 0 up."""

    ra: float
    fa: float
    va: float
    ta: float
    rr: float
    fr: float
    tr: float
    retdev: float
    absolute: tuple[str, ...]
    """Parts whose retention is an absolute difference, because the retrained model's accuracy is 0 there."""
    umia: float
    indisc: float
    ra_retrain: float


def score(references: References, seed: int, logits: NDArray[Any]) -> Scores:
    """Scores of logits [n, classes] against the retrained model of the same seed."""
    labels, parts = references.dataset.labels, references.split(seed).parts()
    own = accuracies(logits, labels, parts)
    retrained = _retrained_accuracies(references, seed)
    kept = retention(own, retrained)
    losses = cross_entropy(logits, labels)
    attack = umia(losses[parts["forget"]], losses[parts["test"]], references.track.analysis.umia_seed)
    return Scores(
        ra=own.retain,
        fa=own.forget,
        va=own.val,
        ta=own.test,
        rr=kept.rr,
        fr=kept.fr,
        tr=kept.tr,
        retdev=kept.retdev,
        absolute=kept.absolute,
        umia=attack,
        indisc=indiscernibility(attack),
        ra_retrain=retrained.retain,
    )


def of_record(references: References, record: Record) -> Scores | None:
    """Scores of a finished unit; ``None`` when it has no logits here and no stored scores."""
    store, kind = references.store, _kind(references.track)
    if record.status != "ok":
        return None
    if (known := store.read(kind, record.key)) is not None:
        return _parse(known)
    from harness.evaluate import read_logits

    logits = read_logits(references, record)
    return None if logits is None else _keep(store, kind, record.key, score(references, record.seed, logits))


def of_reference(references: References, kind: Kind, seed: int) -> Scores:
    """Scores of a reference model: Retrain's RetDev is 0 by definition, ``null`` is the zero line of every number."""
    store, place, name = references.store, _kind(references.track), f"{kind}-{seed}"
    if (known := store.read(place, name)) is not None:
        return _parse(known)
    return _keep(store, place, name, score(references, seed, references.logits(Role(kind, seed))))


def copy(references: References, record: Record, target: Store) -> None:
    """Put a record's scores into another store."""
    found = of_record(references, record)
    if found is not None:
        _keep(target, _kind(references.track), record.key, found)


def copy_reference(references: References, kind: Kind, seed: int, target: Store) -> None:
    """Put a reference model's scores into another store."""
    _keep(target, _kind(references.track), f"{kind}-{seed}", of_reference(references, kind, seed))


def _retrained_accuracies(references: References, seed: int) -> Accuracies:
    logits = references.logits(Role("retrained", seed))
    return accuracies(logits, references.dataset.labels, references.split(seed).parts())


def _kind(track: Track) -> str:
    place = units.folder(track.reference_digest, track.protocol_digest).removeprefix("units/")
    return f"scores/{place}/{digest({'version': VERSION, 'umia_seed': track.analysis.umia_seed})[:16]}"


def _keep(store: Store, kind: str, name: str, scores: Scores) -> Scores:
    store.write(kind, name, dataclasses.asdict(scores))
    return scores


def _parse(document: dict[str, Any]) -> Scores:
    return Scores(**{**document, "absolute": tuple(document["absolute"])})


def mean(scores: list[Scores], name: str) -> float:
    """Mean of one number over seeds."""
    return float(np.mean([getattr(s, name) for s in scores]))
