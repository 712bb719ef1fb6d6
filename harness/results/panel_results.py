"""What all attacks found of every entry on a track, as the board and its positions read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.results import consistency, probed, scores
from unlearn_bench.harness.results.board_entries import (
    REFERENCES,
    BoardEntry,
    board_entries,
    reference_rows,
    shadow_records,
)
from unlearn_bench.harness.results.consistency import ShadowFaults
from unlearn_bench.harness.results.scores import Scores, ShadowScores
from unlearn_bench.harness.units import shadow_units
from unlearn_bench.harness.units.records import ShadowRecord
from unlearn_bench.scoring import metric_table, panel
from unlearn_bench.scoring.board import ENDS
from unlearn_bench.scoring.forgetting import Reading
from unlearn_bench.scoring.panel_result import PanelResult
from unlearn_bench.scoring.ulira import stretch


@dataclass(frozen=True)
class ShadowReading:
    """What became of the shadow units of an entry."""

    record: ShadowRecord
    scores: ShadowScores | None
    """``None`` where they failed."""
    faults: ShadowFaults = field(default_factory=ShadowFaults)
    """Why U-LiRA's reading does not count."""

    @property
    def counts(self) -> bool:
        """Whether U-LiRA's reading counts."""
        return self.scores is not None and not self.faults.reason

    @property
    def reason(self) -> str:
        """Why it does not, for people."""
        return self.faults.reason or f"its shadow units failed: {self.record.status}"


def shadow_results(references: References, entries: Sequence[BoardEntry] | None = None) -> dict[str, ShadowReading]:
    """Return what became of the shadow units of every entry by its name, reference rows included."""
    entries = board_entries(references) if entries is None else entries
    by_name, results = {entry.name: entry for entry in entries}, {}
    for name, record in shadow_records(references, entries).items():
        found = scores.entry_shadow_scores(references, record)
        faults = consistency.of_shadows(references, by_name.get(name), record, found)
        results[name] = ShadowReading(record, found, faults)
    return results


def panel_results(
    references: References, entries: Sequence[BoardEntry], shadows: Mapping[str, ShadowReading]
) -> list[PanelResult]:
    """Return what every attack found of every entry, and of the reference models in their rows."""
    models = {entry.name: entry for entry in entries if entry.kind != "reference"}
    baselines = [name for name, entry in models.items() if entry.kind == "baseline"]
    attacked = any(name in shadows and shadows[name].counts for name in baselines)
    has_null = references.has_null
    by_probes = _probe_readings(references, models) if has_null else {}
    probing = any(by_probes.get(name) for name in baselines)
    results = []
    for name in (*models, *reference_rows(references.track)):
        own = _seed_scores(references, name, models.get(name))
        readings = _seed_readings(references, own) if has_null else []
        readings += by_probes.get(name, [])
        shadow, reason = shadows.get(name), ""
        if shadow is not None and shadow.counts:
            readings.append(_pair_reading(references, shadow))
        elif attacked and name in models and own:
            reason = "U-LiRA has not run" if shadow is None else shadow.reason
        if probing and name in models and own and not by_probes[name] and not reason:
            reason = "no probe has looked at all of its models"
        numbers = {} if shadow is None else _shadow_columns(shadow)
        results.append(PanelResult(name, references.track.name, tuple(readings), numbers, reason))
    return results


def _probe_readings(references: References, models: Mapping[str, BoardEntry]) -> dict[str, list[Reading]]:
    """Return the evidence of probes in every row's models."""
    found = {name: probed.entry_results(references, entry) for name, entry in models.items()}
    seeds = range(references.track.protocol.seeds)
    kinds = reference_rows(references.track)
    found |= {name: probed.reference_results(references, kind, seeds) for name, kind in kinds.items()}
    return {name: probed.readings(references, results) for name, results in found.items()}


def _seed_scores(references: References, name: str, board_entry: BoardEntry | None) -> dict[int, Scores]:
    """Return the scores of an entry's finished seeds, or without one of the reference models of a row."""
    if board_entry is None:
        seeds = range(references.track.protocol.seeds)
        return {seed: scores.reference_scores(references, REFERENCES[name], seed) for seed in seeds}
    found = {seed: scores.record_scores(references, record) for seed, record in sorted(board_entry.records.items())}
    return {seed: each for seed, each in found.items() if each is not None}


def _seed_readings(references: References, own: Mapping[int, Scores]) -> list[Reading]:
    kinds: tuple[RoleKind, ...] = ("null", "original", "retrained")
    others = [[scores.reference_scores(references, kind, seed) for seed in own] for kind in kinds]
    readings = []
    for attack in panel.attacks_on("model"):
        if attack.evidence and own:
            sides = (own.values(), *others)
            entry, null, original, retrained = (
                np.array([each.attacks[attack.name][attack.evidence] for each in side]) for side in sides
            )
            readings.append(Reading(attack.title, "seed", entry, null, original, retrained=retrained))
    return readings


def _pair_reading(references: References, shadow: ShadowReading) -> Reading:
    """Return the reading of U-LiRA, beside that of retrained models and originals from equally many pairs."""
    by_name = {row.name: replace(row, pairs=shadow.record.pairs) for row in shadow_units.reference_rows(references)}
    rows = [
        scores.entry_shadow_scores(references, by_name[name]) for name in (shadow_units.RETRAIN, shadow_units.ORIGINAL)
    ]
    entry, null, original = (np.array(row.pair_accuracies) for row in (shadow.scores, *rows) if row is not None)
    stopped = shadow.record.stopped(references.track)
    return Reading(panel.load("ulira").title, "pair", entry, null, original, stretch(stopped))


def _shadow_columns(shadow: ShadowReading) -> dict[str, float]:
    numbers = {} if shadow.scores is None else shadow.scores.attacks
    columns: dict[str, float] = {}
    for metric in metric_table.metrics():
        attack, number = metric.attack or ("", "")
        if metric.reads == "shadows" and attack in numbers:
            columns |= {f"{metric.name}{end}": numbers[attack][f"{number}{end}"] for end in ENDS}
    return columns
