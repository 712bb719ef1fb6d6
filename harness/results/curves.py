"""Curves of entries for people to look at, computed from logits once and kept beside the scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import DataError, StoreError
from unlearn_bench.harness.units import result_names, unit_store
from unlearn_bench.harness.units.records import Record, track_folder
from unlearn_bench.scoring import curves

KIND = "curves"
VERSION = 3
"""Raised whenever the same logits would give other curves."""


@dataclass(frozen=True)
class Curves:
    """Curves of the models of all seeds: counts [bins] of losses, an attack's mean true positive rates.

    ``test`` counts the losses on the examples of T that attacks compare F with: those of its classes, in its form.
    """

    seeds: int
    forget: tuple[int, ...]
    test: tuple[int, ...]
    tpr: tuple[float, ...]
    """At the false positive rates ``scoring.curves.FPR``."""
    smallest: float
    """1 over the number of these examples of T: below this no false positive rate can be resolved."""


def entry_curves(references: References, records: Iterable[Record]) -> Curves | None:
    """Return curves over the finished seeds of an entry; ``None`` where logits or the data set are missing."""
    store, finished = references.store, _finished(records)
    name = _entry_name(references, finished)
    if (stored := _read(references, name)) is not None:
        return stored
    if not finished or not all(store.has(record.logits) for record in finished if record.logits):
        return None
    models = ((record.seed, unit_store.logits(store, record)) for record in finished)
    return _keep(references, name, ((seed, logits) for seed, logits in models if logits is not None))


def reference_curves(references: References, kind: RoleKind) -> Curves | None:
    """Return curves over the reference models of all seeds; ``None`` where logits or the data set are missing."""
    seeds = range(references.track.protocol.seeds)
    name = f"{kind}-{digest([result_names.of_reference(references, kind, seed) for seed in seeds])}"
    if (stored := _read(references, name)) is not None:
        return stored
    return _keep(references, name, ((seed, references.logits(Role(kind, seed))) for seed in seeds))


def clear(references: References, target: Store) -> None:
    """Remove a track's curves from a store, those of older versions as well."""
    target.clear(f"{KIND}/{track_folder(references.track)}")


def document(references: References, records: Iterable[Record]) -> tuple[str, Curves] | None:
    """Return the name and the content of the document with an entry's curves; ``None`` where logits are missing."""
    finished = _finished(records)
    found = entry_curves(references, finished)
    return None if found is None else (_entry_name(references, finished), found)


def _entry_name(references: References, finished: Iterable[Record]) -> str:
    return digest(sorted(result_names.of_unit(references, record) for record in finished))


def _finished(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record.status == "ok" and record.logits is not None]


def _read(references: References, name: str) -> Curves | None:
    return documents.read(references.store, document_kind(references), name, Curves)


def _keep(references: References, name: str, models: Iterable[tuple[int, NDArray[np.float32]]]) -> Curves | None:
    sides = []
    try:
        for seed, logits in models:
            evidence = scores.model_evidence(references, seed, logits)
            sides.append([evidence.losses[evidence.parts["forget"]], evidence.losses[evidence.unseen]])
    except (DataError, StoreError):  # a store may hold records without data or reference models
        return None
    track_curves = Curves(
        seeds=len(sides),
        forget=_whole(np.sum([curves.loss_histogram(forget_losses) for forget_losses, _ in sides], axis=0)),
        test=_whole(np.sum([curves.loss_histogram(test_losses) for _, test_losses in sides], axis=0)),
        tpr=tuple(np.mean([curves.roc(*side) for side in sides], axis=0).round(6).tolist()),
        smallest=1 / min(len(test_losses) for _, test_losses in sides),
    )
    documents.keep(references.store, document_kind(references), name, track_curves)
    return track_curves


def _whole(counts: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(count) for count in counts)


def document_kind(references: References) -> str:
    """Return the kind under which the store has the curves of a track."""
    return f"{KIND}/{track_folder(references.track)}/{VERSION}"
