"""How F comes back while models are trained on R: curves of the relearning probe, from what it has stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.probes import stored
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import probed
from unlearn_bench.harness.results.board_entries import BoardEntry, reference_rows

PROBE = "relearning"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RelearningCurve:
    """Accuracy and loss on F along the steps of training on R.

    Attributes:
        steps: [k] after which they were taken; the first is 0.
        accuracy: [seeds, k], a fraction.
        loss: [seeds, k], binary cross-entropy of the true class against the others, in nats.
    """

    steps: tuple[int, ...]
    accuracy: Floats
    loss: Floats


def curves(references: References, entries: Mapping[str, BoardEntry]) -> dict[str, RelearningCurve]:
    """Return the curves of entries that the probe has looked at, and of the reference rows, by name."""
    seeds = range(references.track.protocol.seeds)
    rows = {name: probed.entry_results(references, entry) for name, entry in entries.items()}
    kinds = reference_rows(references.track)
    rows |= {name: probed.reference_results(references, kind, seeds) for name, kind in kinds.items()}
    found = {name: _curve(references, results) for name, results in rows.items()}
    return {name: curve for name, curve in found.items() if curve is not None}


def _curve(references: References, by_seed: Mapping[int, probed.Results]) -> RelearningCurve | None:
    shas = [results[PROBE].arrays for results in by_seed.values() if PROBE in results]
    present = [sha for sha in shas if sha is not None and references.store.has(sha)]
    if not present or len(present) < len(by_seed):
        return None
    arrays = [stored.get_arrays(references.store, sha) for sha in present]
    losses = [np.logaddexp(0.0, -each["forget_phi"].astype(np.float64)).mean(axis=1) for each in arrays]
    return RelearningCurve(
        tuple(arrays[0]["steps"].tolist()),
        np.stack([each["forget_hits"].mean(axis=1) for each in arrays]),
        np.stack(losses),
    )
