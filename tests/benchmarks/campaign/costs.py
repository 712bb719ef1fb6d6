"""What work takes: measured on what the store has of a track, otherwise nominal, from this folder's README."""

from __future__ import annotations

import os

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.worker_runner import PER_GPU

NOMINAL = {
    ("resnet18", True): 3.5e-6,
    ("tiny_vit", True): 1.3e-5,
    ("resnet18", False): 3.4e-3,
    ("tiny_vit", False): 5.3e-3,
    ("resnet18_narrow", False): 8e-5,
}
"""Seconds of training per example and epoch, by network and whether on a GPU (an H200)."""
PLAIN = {True: 8.0, False: 2.0}
"""How many times as long the plain loop of a method takes as the training of reference models, by the same."""
START = 40.0
"""Seconds until a process trains on a GPU, compilation included."""
MARGIN = 1.1
"""Of estimates: a model that a GPU has not finished in time is lost."""


def cores() -> int:
    return len(os.sched_getaffinity(0))


def at_once(gpu: bool) -> int:
    """Return how many untimed units of shipped methods run side by side."""
    return min(cores(), PER_GPU) if gpu else cores()


def training(references: References, kind: str, gpu: bool) -> float | None:
    """Return the device's seconds for a model of this kind; ``None`` where nothing is known of its network."""
    rate = _rate(references, gpu)
    return None if rate is None else rate * _passes(references.track, kind)


def unit(references: References, gpu: bool) -> float | None:
    """Return the seconds of an untimed unit: the mean of those that ran, or half of the epochs that a search allows."""
    records = unit_store.seed_records(references.store, references.track)
    measured = [r.cpu_seconds for r in records if r.cpu_seconds is not None and r.name not in ("retrain", "original")]
    if measured:
        return float(np.mean(measured))
    rate, track = _rate(references, gpu), references.track
    return None if rate is None else rate * PLAIN[gpu] * track.splits.retain * track.analysis.max_epochs / 2


def retrain(references: References, gpu: bool) -> float | None:
    """Return the seconds of one timed unit of Retrain."""
    records = unit_store.seed_records(references.store, references.track)
    measured = [record.retrain_seconds for record in records if record.retrain_seconds is not None]
    if measured:
        return max(measured)
    seconds = training(references, "retrained", gpu)
    return None if seconds is None else seconds * PLAIN[gpu]


def _passes(track: Track, kind: str) -> int:
    """Return about how many examples a model of this kind sees in its training, each once per epoch."""
    recipe, examples = track.recipe, track.splits.retain + track.splits.forget
    if kind.startswith("shadow"):
        return examples // 2 * (recipe.shadow_epochs or recipe.epochs)
    return examples * recipe.epochs


def _rate(references: References, gpu: bool) -> float | None:
    """Return the seconds of training per example and epoch."""
    seconds, passes = 0.0, 0
    for name, model in references.manifest.roles.items():
        spent = model.gpu_seconds if gpu else model.cpu_seconds
        if spent is not None:
            seconds += spent
            passes += _passes(references.track, name)
    return seconds / passes if passes else NOMINAL.get((str(references.track.model.get("name")), gpu))
