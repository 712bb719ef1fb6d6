"""Evidence for attacks: the default track's shipped reference models, and small models with known losses."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.results import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store
from unlearn_bench.scoring.evidence import ModelEvidence, ShadowEvidence


@cache
def _references() -> tuple[References, np.ndarray, np.ndarray]:
    """With φ of the retrained models, [seeds, n], and where they lack an example."""
    references = References(load_track("digits-resnet18"), Store())
    lacks = np.ones(references.reference_phi.shape, dtype=bool)
    for seed in range(references.track.protocol.seeds):
        lacks[seed, references.examples.split(seed).retain] = False
    return references, references.reference_phi, lacks


@cache
def of_baseline(name: str, seed: int) -> ModelEvidence:
    """A shipped method's model of the default track."""
    references, _, _ = _references()
    records = next(entry.records for entry in board_entries.board_entries(references) if entry.name == name)
    logits = unit_store.logits(references.store, records[seed])
    assert logits is not None
    return replace(real("original", seed), logits=logits)


def real(kind: RoleKind, seed: int) -> ModelEvidence:
    """A reference model of the default track in the place of the unlearned one."""
    references, phi, lacks = _references()
    return ModelEvidence(
        logits=references.logits(Role(kind, seed)),
        original=references.logits(Role("original", seed)),
        retrained=references.logits(Role("retrained", seed)),
        labels=references.examples.dataset.labels,
        parts=references.examples.split(seed).parts(),
        reference_phi=phi,
        lacks=lacks,
        seed=seed,
    )


def two_class(phi: np.ndarray) -> np.ndarray:
    """Logits [n, 2] of examples of class 0 whose margin is φ [n]."""
    return np.stack([phi, np.zeros_like(phi)], axis=1)


def made(rng: np.random.Generator, sizes: tuple[int, int, int, int] = (60, 40, 50, 90), models: int = 4) -> Any:
    """Evidence of random φ: parts of the given sizes, half of the reference models lack an example, at least one."""
    n = sum(sizes)
    difficulty = rng.normal(0.0, 2.0, n)
    own, original, retrained, *others = (difficulty + rng.normal(0.0, 1.5, n) for _ in range(3 + models))
    lacks = rng.random((models, n)) < 0.5
    lacks[rng.integers(models, size=n), np.arange(n)] = True
    ends = np.split(rng.permutation(n), np.cumsum(sizes)[:-1])
    return ModelEvidence(
        logits=two_class(own),
        original=two_class(original),
        retrained=two_class(retrained),
        labels=np.zeros(n, dtype=int),
        parts=dict(zip(("retain", "forget", "val", "test"), ends, strict=True)),
        reference_phi=np.stack(others),
        lacks=lacks,
    )


def shadows(rng: np.random.Generator, n: int = 30, models: int = 16, shift: float = 0.0) -> ShadowEvidence:
    """φ of perfect unlearning, but for ``shift`` on the forgotten examples."""
    names = ("forgotten", "never", "retrained", "retrained_never", "retained", "absent", "original", "original_never")
    phi = {name: rng.normal(size=(n, models)) for name in names}
    phi["forgotten"] += shift
    return ShadowEvidence(**phi, labels=np.zeros(n, dtype=int))
