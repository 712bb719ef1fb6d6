"""What a unit gives its entry to read: R, F and V of each deletion request, as the track's access tier has them.

What a tier withholds is in none of the arrays made here, and they are all the data that an entry gets, in a sandbox, in
a worker process and in this one alike.

V is withheld as R is. It is labelled data like R's that nobody asked to have deleted, so an entry without R would train
on V in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.entries.entry import retrain
from unlearn_bench.harness.references.examples import Examples
from unlearn_bench.harness.references.roles import tuning_shadows
from unlearn_bench.harness.tracks.specification import Access
from unlearn_bench.harness.units.unit_kinds import Unit

KEPT = ("retain", "val")
"""The sets whose examples nobody asked to have deleted."""


@dataclass(frozen=True)
class Given:
    """What one deletion request gives an entry."""

    images: Mapping[str, NDArray[np.int64]]
    """Set → indices of its examples whose images are given."""
    labels: Mapping[str, NDArray[np.int64]]
    """Set → indices of its examples whose labels are given."""

    def arrays(self, dataset: Dataset) -> dict[str, NDArray[Any]]:
        """Return ``{set}_images`` uint8 [n, c, h, w] and ``{set}_labels`` int64 [n], in the order of the indices."""
        images = {f"{name}_images": dataset.images[indices] for name, indices in self.images.items()}
        return images | {f"{name}_labels": dataset.labels[indices] for name, indices in self.labels.items()}

    def digest(self, reference_digest: str) -> str:
        """Return a name for the arrays of a track with these reference models, as 64 hexadecimal digits."""
        name = hashlib.sha256(reference_digest.encode())
        for indices in self.labels.values():
            name.update(indices.tobytes())
        if len(self.images) < len(KEPT) + 1:
            name.update(repr((list(self.images), list(self.labels))).encode())
        return name.hexdigest()


def tier(unit: Unit) -> Access:
    """Return the access tier of a unit: the track's, or all for Retrain, with which run times are compared."""
    entry, track = unit.entry, unit.track
    if entry.kind == "reference" and entry.id == retrain(track).id:
        return "full"
    return track.protocol.access


def given(unit: Unit, examples: Examples) -> list[Given]:
    """Return what each deletion request of a unit gives its entry.

    Raises:
        TrackError: ``few-shot-retain`` asks for more examples of a class than R or V has.
    """
    access, requests = tier(unit), unit.requests(examples)
    if access == "no-retain":
        forgotten = [{"forget": request["forget"]} for request in requests]
        return [Given(sets, sets) for sets in forgotten]
    if access == "few-shot-retain":
        parts = unit.parts(examples)
        few = {name: examples.few_shot(parts[name], unit.seed) for name in KEPT}
        return [Given(sets, sets) for sets in ({**request, **few} for request in requests)]
    if access == "no-forget-images":
        return [Given({name: request[name] for name in KEPT}, request) for request in requests]
    return [Given(request, request) for request in requests]


def require_examples(examples: Examples) -> None:
    """Refuse a track of which a unit would have fewer examples of a class than ``few-shot-retain`` gives.

    Raises:
        TrackError: names class and set.
    """
    track = examples.track
    if track.protocol.access != "few-shot-retain":
        return
    for seed in range(track.protocol.seeds):
        for name in KEPT:
            examples.few_shot(examples.parts(seed)[name], seed)
    for number in range(track.analysis.tuning_seeds):
        for name in KEPT:
            examples.few_shot(examples.tuning_parts(number)[name], number)
    scored = [(s, g) for s in range(track.protocol.lira_splits) for g in range(track.protocol.lira_forget_sets)]
    for split, forget_set in (*scored, *tuning_shadows(track)):
        examples.few_shot(examples.shadow_parts(split, forget_set)["retain"], split)
