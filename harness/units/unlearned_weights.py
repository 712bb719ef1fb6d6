"""Weights of unlearned models: kept in the store where a run asks for it, or held until their probes have run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.field_types import Date, Sha256
from unlearn_bench.harness.support.files import read_checked, write_checked
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import now, track_folder

Precision = Literal["float32", "float16"]
Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class KeptWeights:
    """Where the weights of one unlearned model are."""

    weights: Sha256
    """SHA-256 of the state as safetensors."""
    precision: Precision
    date: Date


def keep(store: Store, track: Track, key: str, weights: Weights, precision: Precision) -> None:
    """Keep the weights of the unit with this key in the store, by their content.

    Args:
        store: where to.
        track: of the unit.
        key: of the unit.
        weights: state of the unlearned model, by name.
        precision: ``float16`` takes half of the room. A tensor that half precision cannot hold stays as it is.
    """
    from safetensors.numpy import save

    rounded = {name: _half(array) for name, array in weights.items()} if precision == "float16" else dict(weights)
    documents.write(store, _kind(track), key, KeptWeights(store.put(save(rounded)), precision, now()))


def hold(store: Store, key: str, weights: Weights) -> None:
    """Write the weights of the unit with this key to a file of this machine, until :func:`release`."""
    from safetensors.numpy import save

    write_checked(_held(store, key), save(dict(weights)))


def release(store: Store, key: str) -> None:
    """Remove what :func:`hold` wrote."""
    _held(store, key).unlink(missing_ok=True)


def find_kept(store: Store, track: Track, key: str) -> KeptWeights | None:
    """Return where the weights of the unit with this key are kept; ``None`` where they are not."""
    kept = documents.read(store, _kind(track), key, KeptWeights)
    return kept if kept is not None and store.has(kept.weights) else None


def available(store: Store, track: Track, key: str) -> bool:
    """Return whether the weights of the unit with this key are kept or held."""
    return _held(store, key).is_file() or find_kept(store, track, key) is not None


def read(store: Store, track: Track, key: str) -> dict[str, NDArray[Any]] | None:
    """Return the weights of the unit with this key, by name, in float32; ``None`` where they are neither held nor kept.

    Raises:
        StoreError: they are damaged.
    """
    from safetensors.numpy import load

    if (held := _held(store, key)).is_file():
        return load(read_checked(held, f"remove {held} and run the same command again: its unit runs again"))
    if (kept := find_kept(store, track, key)) is None:
        return None
    return {name: _full(array) for name, array in load(store.get(kept.weights)).items()}


def _half(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != np.float32 or np.abs(array).max(initial=0.0) > np.finfo(np.float16).max:
        return array
    return array.astype(np.float16)


def _full(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _held(store: Store, key: str) -> Path:
    return store.root / "held-weights" / f"{key}.safetensors"


def _kind(track: Track) -> str:
    return f"weights/{track_folder(track)}"
