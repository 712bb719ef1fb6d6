"""What probes found of models, as the store keeps it: a document for each model, and arrays by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import track_folder

VERSION = 1
"""Raised whenever the same weights would give other numbers."""


@dataclass(frozen=True)
class ProbeResult:
    """What one probe found of one model."""

    title: str
    headline: str
    """The name of the number that says most; empty where there is none."""
    evidence: str
    """The name of the number that counts for an entry's forgetting; empty where none does."""
    numbers: Mapping[str, float]
    source: str
    """SHA-256 of the probe's file."""
    arrays: str | None = None
    """SHA-256 of the arrays that the numbers follow from, as safetensors."""
    fault: str = ""
    """Why there are no numbers; empty where there are."""
    cpu_seconds: float | None = None


@dataclass(frozen=True)
class ProbedModel:
    """What the probes found of one model, by the name of the probe."""

    results: Mapping[str, ProbeResult] = field(default_factory=dict)


def read(store: Store, track: Track, name: str) -> ProbedModel:
    """Return what probes found of a model by its name of ``units.result_names``."""
    return documents.read(store, document_kind(track), name, ProbedModel) or ProbedModel()


def write(store: Store, track: Track, name: str, results: Mapping[str, ProbeResult]) -> None:
    """Keep what probes found of a model, beside what is kept of others."""
    documents.write(store, document_kind(track), name, ProbedModel({**read(store, track, name).results, **results}))


def read_all(store: Store, track: Track) -> dict[str, ProbedModel]:
    """Return what probes found of all models of a track, by name."""
    return dict(documents.read_all(store, document_kind(track), ProbedModel))


def put_arrays(store: Store, arrays: Mapping[str, NDArray]) -> str:
    """Put a probe's arrays into the store, and return their SHA-256."""
    from safetensors.numpy import save

    return store.put(save({name: np.array(array, order="C") for name, array in arrays.items()}))


def get_arrays(store: Store, sha: str) -> dict[str, NDArray]:
    """Return the arrays of a probe.

    Raises:
        StoreError: they are missing or damaged.
    """
    from safetensors.numpy import load

    return load(store.get(sha))


def document_kind(track: Track) -> str:
    """Return the kind under which the store has the documents of a track."""
    return f"probed/{track_folder(track)}/{_settings(VERSION, track.probes_digest)}"


@cache
def _settings(version: int, probes_digest: str) -> str:
    return digest({"version": version, "settings": probes_digest})[:16]
