"""Scores of one model from its logits, or of an entry's shadow units from φ, kept so that a board is built at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import DataError, StoreError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import result_names, shadow_units, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord, track_folder
from unlearn_bench.scoring import metric_table, panel
from unlearn_bench.scoring.distances import weight_distance
from unlearn_bench.scoring.evidence import ModelEvidence
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.ulira import ulira

VERSION = 5
"""Raised whenever the same logits would give other numbers."""
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Scores:
    """One model's numbers for one seed."""

    metrics: Numbers
    """Metrics that read one model (``scoring.metric_table.of_models``), where they are known."""
    absolute: tuple[str, ...]
    """Parts whose retention is an absolute difference, because the retrained model's accuracy is 0 there."""
    ra_retrain: float
    attacks: Mapping[str, Numbers] = field(default_factory=dict)
    """Numbers of every attack of the panel that reads one model."""
    collapse: str = ""
    """Why no attack could read the model's outputs; empty where they could."""

    @classmethod
    def of_stored(cls, stored: Any) -> Scores:
        """Scores from their stored form; numbers of attacks serve the metrics that were declared later."""
        metrics = {}
        for metric in metric_table.of_any_model():
            attack, number = metric.attack or ("", "")
            value = getattr(stored, metric.name)
            if value is None:
                value = stored.attacks.get(attack, {}).get(number)
            if value is not None:
                metrics[metric.name] = value
        return cls(metrics, stored.absolute, stored.ra_retrain, stored.attacks, stored.collapse)

    def stored(self) -> Any:
        """Return the stored form: a dataclass that has every metric beside the other numbers.

        Metrics that only some tracks have are in it where they are known.
        """
        form = _stored_form(
            tuple(m for m in metric_table.of_any_model() if not m.corruptions or m.name in self.metrics)
        )
        return form(
            absolute=self.absolute,
            ra_retrain=self.ra_retrain,
            attacks=self.attacks,
            collapse=self.collapse,
            **self.metrics,
        )


@cache
def _stored_form(metrics: tuple[Metric, ...]) -> type[Any]:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for metric in metrics:
        fields.append((metric.name, float) if metric.required else (metric.name, float | None, None))
        if metric.name == "retdev":
            fields.append(("absolute", tuple[str, ...]))  # beside what it explains
    fields += [("ra_retrain", float), ("attacks", Mapping[str, Numbers], field(default_factory=dict))]
    fields.append(("collapse", str, ""))
    return dataclasses.make_dataclass("StoredScores", fields, frozen=True, kw_only=True)


@dataclass(frozen=True)
class ShadowScores:
    """Numbers of the attacks on shadow models for one entry, or for a reference row."""

    pair_accuracies: tuple[float, ...]
    """U-LiRA on each held-out pair of splits."""
    attacks: Mapping[str, Numbers]
    """Numbers of every attack of the panel that reads shadow models."""
    collateral: Numbers
    """U-LiRA on retained examples: ``accuracy``, ``low``, ``high``; above Original's, unlearning has exposed R."""


def model_evidence(references: References, seed: int, logits: NDArray[Any]) -> ModelEvidence:
    """Return what an attack reads of logits [n, classes] of one model of a seed."""
    return ModelEvidence(
        logits=logits,
        original=references.logits(Role("original", seed)),
        retrained=references.logits(Role("retrained", seed)),
        labels=references.examples.labels,
        parts=references.examples.split(seed).parts(),
        reference_phi=references.reference_phi,
        lacks=references.examples.lacks,
        seed=references.track.analysis.umia_seed,
        subclasses=references.examples.subclasses,
        corrupted_forms=references.examples.corrupted_forms,
    )


def score(references: References, seed: int, logits: NDArray[Any]) -> Scores:
    """Scores of logits [n, classes] against the retrained model of the same seed."""
    return of_evidence(model_evidence(references, seed, logits))


def of_evidence(evidence: ModelEvidence) -> Scores:
    """Return the scores of one model."""
    attacks = attack_scores(evidence)
    metrics = {metric.name: _computed(metric, evidence, attacks) for metric in metric_table.of_any_model()}
    measured = {name: value for name, value in metrics.items() if value is not None}
    retention = evidence.retention
    return Scores(measured, retention.absolute, evidence.retrained_accuracies.retain, attacks, evidence.collapse)


def attack_scores(evidence: ModelEvidence, attack: panel.Attack | None = None) -> Mapping[str, Numbers]:
    """Return the numbers of the panel's attacks on one model, or of one attack, by its name."""
    return {each.name: each.run(evidence) for each in (panel.attacks_on("model") if attack is None else [attack])}


def _computed(metric: Metric, evidence: ModelEvidence, attacks: Mapping[str, Numbers]) -> float | None:
    if metric.attack is not None:
        attack, number = metric.attack
        return attacks[attack][number]
    assert metric.compute is not None
    return metric.compute(evidence)


def _complete(
    references: References, place: str, name: str, seed: int, logits: Callable[[], NDArray[Any] | None]
) -> Scores | None:
    """Return stored scores, completed by the metrics that were declared since where the store has their arrays."""
    document = documents.read(references.store, place, name, _stored_form(metric_table.of_any_model()))
    if document is None:
        return None
    stored = Scores.of_stored(document)
    on_track = metric_table.of_models(references.track.corruption)
    added = [each for each in on_track if each.compute is not None and each.name not in stored.metrics]
    if not added:
        return stored
    try:
        array = logits()
        evidence = None if array is None else model_evidence(references, seed, array)
    except (DataError, StoreError):  # a store may hold scores without data or reference models
        return stored
    if evidence is None:
        return stored
    values = {metric.name: _computed(metric, evidence, stored.attacks) for metric in added}
    measured = {name: value for name, value in values.items() if value is not None}
    return keep(references.store, place, name, replace(stored, metrics={**stored.metrics, **measured}))


def shadow_score(references: References, record: ShadowRecord) -> ShadowScores:
    """Scores of an entry's shadow units."""
    evidence = shadow_units.evidence(references, record)
    retained = ulira(evidence.retained, evidence.absent, evidence.stopped)
    return ShadowScores(
        pair_accuracies=ulira(evidence.forgotten, evidence.never).pair_accuracies,
        attacks={attack.name: attack.run(evidence) for attack in panel.attacks_on("shadows")},
        collateral={"accuracy": retained.accuracy, "low": retained.low, "high": retained.high},
    )


def record_scores(references: References, record: Record) -> Scores | None:
    """Scores of a finished unit; ``None`` when it has no logits here and no stored scores."""
    if record.status != "ok":
        return None
    name = result_names.of_unit(references, record)
    return references.store.once((_kind(references.track), name), lambda: _record_scores(references, record, name))


def _record_scores(references: References, record: Record, name: str) -> Scores | None:
    store, kind = references.store, _kind(references.track)
    stored = _complete(references, kind, name, record.seed, lambda: unit_store.logits(store, record))
    if stored is not None:
        return stored
    logits = unit_store.logits(store, record)
    return None if logits is None else keep(store, kind, name, score(references, record.seed, logits))


def reference_scores(references: References, kind: RoleKind, seed: int) -> Scores:
    """Scores of a reference model: Retrain's RetDev is 0 by definition, ``null`` is the null of every number."""
    name = result_names.of_reference(references, kind, seed)
    return references.store.once(
        (_kind(references.track), name), lambda: _reference_scores(references, kind, seed, name)
    )


def _reference_scores(references: References, kind: RoleKind, seed: int, name: str) -> Scores:
    store, place = references.store, _kind(references.track)
    stored = _complete(references, place, name, seed, lambda: references.logits(Role(kind, seed)))
    if stored is not None:
        return stored
    return keep(store, place, name, score(references, seed, references.logits(Role(kind, seed))))


def entry_shadow_scores(references: References, record: ShadowRecord) -> ShadowScores | None:
    """Scores of an entry's shadow units; ``None`` when they failed."""
    store, place = references.store, f"shadow-{_kind(references.track)}"
    if record.values is None:
        return None
    name = _shadow_name(record, references.track)
    if (stored := documents.read(store, place, name, ShadowScores)) is not None:
        return stored
    return keep(store, place, name, shadow_score(references, record))


def weight_null(references: References) -> float | None:
    """Mean distance of a second retrained model's weights to the first one's, where the weights of both are kept."""
    from safetensors.numpy import load

    pairs = [(Role("null", s), Role("retrained", s)) for s in range(references.track.protocol.seeds)]
    if not all(references.has_weights(role) for pair in pairs for role in pair):
        return None
    return float(np.mean([weight_distance(*(load(references.weights(role)) for role in pair)) for pair in pairs]))


def put(references: References, name: str, model_scores: Scores) -> None:
    """Keep scores under a name of ``units.result_names``."""
    keep(references.store, _kind(references.track), name, model_scores)


def put_shadows(references: References, record: ShadowRecord, shadow_scores: ShadowScores) -> None:
    """Keep the scores of an entry's shadow units."""
    keep(references.store, f"shadow-{_kind(references.track)}", _shadow_name(record, references.track), shadow_scores)


def clear(references: References) -> None:
    """Forget all scores of the track."""
    for place in (_kind(references.track), f"shadow-{_kind(references.track)}"):
        references.store.clear(str(Path(place).parent))


def copy_reference(references: References, kind: RoleKind, seed: int, target: Store) -> None:
    """Put a reference model's scores into another store."""
    name = result_names.of_reference(references, kind, seed)
    keep(target, _kind(references.track), name, reference_scores(references, kind, seed))


def _kind(track: Track) -> str:
    return f"scores/{track_folder(track)}/{_analysis(track.analysis.umia_seed)}"


@cache
def _analysis(umia_seed: int) -> str:
    return digest({"version": VERSION, "umia_seed": umia_seed, "attacks": panel.names()})[:16]


def _shadow_name(record: ShadowRecord, track: Track) -> str:
    content = {"entry": record.entry, "values": record.values, "pairs": record.pairs}
    return digest(content | {"stopped": True} if record.stopped(track) else content)


AnyScores = TypeVar("AnyScores", Scores, ShadowScores)


def keep(store: Store, kind: str, name: str, scores: AnyScores) -> AnyScores:
    """Store scores as a document, where the store can be written; returns them."""
    documents.keep(store, kind, name, scores.stored() if isinstance(scores, Scores) else scores)
    return scores


def value(metric: Metric, scores: Scores | None, record: Record | None) -> float | None:
    """Return the metric of one seed, from its scores or from its run; ``None`` where it is unknown."""
    if metric.reads == "run":
        assert metric.compute is not None
        return None if record is None else metric.compute(record)
    return None if scores is None else scores.metrics.get(metric.name)


def null_mean(references: References, name: str) -> float:
    """Return the mean of one metric over the null models of all seeds; NaN where it is unknown for one."""
    if not references.has_null:
        return math.nan
    return mean([reference_scores(references, "null", seed) for seed in range(references.track.protocol.seeds)], name)


def mean(scores: list[Scores], name: str) -> float:
    """Return the mean of one metric over seeds; NaN where it is unknown for one of them."""
    return float(np.mean([each.metrics.get(name, math.nan) for each in scores]))
