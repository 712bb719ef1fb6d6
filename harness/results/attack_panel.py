"""What every attack and probe reads of an entry, beside the null and the original, and the gate of cheap attacks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board, probed, scores
from unlearn_bench.harness.results.board_entries import BoardEntry, shadow_records
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.units import shadow_units, swap_units
from unlearn_bench.scoring import gate as cheap_gate
from unlearn_bench.scoring import panel as attacks
from unlearn_bench.scoring.gate import GateResult


@dataclass(frozen=True)
class AttackNumber:
    """One number of one attack or probe on an entry, beside what retrained models and the original read."""

    attack: str
    number: str
    value: float
    null: float | None
    """``None`` without a second retrained model."""
    original: float


def attack_numbers(
    references: References, board_entry: BoardEntry, results: board.Results | None = None
) -> list[AttackNumber]:
    """Return every number of the panel on an entry: means over the seeds, and of its shadow units where they ran.

    ``results``: what has been read of the track.
    """
    record_scores = results.record_scores if results else lambda record: scores.record_scores(references, record)
    reference_scores = (
        results.reference_scores if results else lambda kind, seed: scores.reference_scores(references, kind, seed)
    )
    kinds: dict[str, list[Scores]] = {"own": [], "null": [], "original": []}
    has_null = references.has_null
    for seed, record in sorted(board_entry.records.items()):
        if (own_scores := record_scores(record)) is not None:
            kinds["own"].append(own_scores)
            if has_null:
                kinds["null"].append(reference_scores("null", seed))
            kinds["original"].append(reference_scores("original", seed))
    panel = []
    for attack, numbers in kinds["own"][0].attacks.items() if kinds["own"] else ():
        for number in numbers:
            value, at_null, at_original = (_mean(kinds[kind], attack, number) for kind in kinds)
            assert value is not None and at_original is not None
            panel.append(AttackNumber(attack, number, value, at_null, at_original))
    if has_null:
        panel += [AttackNumber(*row) for row in probed.numbers(references, board_entry)]
    panel += _swapped(references, board_entry)
    shadows_by_name = (
        {name: result.record for name, result in results.shadows.items()} if results else shadow_records(references)
    )
    if (shadow := shadows_by_name.get(board_entry.name)) is not None and shadow.values is not None:
        # nulls from equally many pairs of splits, on which those of KLoM and ε depend
        rows = [
            replace(shadows_by_name[name], pairs=shadow.pairs) for name in (shadow_units.RETRAIN, shadow_units.ORIGINAL)
        ]
        shadow_scores = [scores.entry_shadow_scores(references, row) for row in (shadow, *rows)]
        numbers_of_entry, null, original = (
            {**scored.attacks, "collateral": scored.collateral} for scored in shadow_scores if scored is not None
        )
        for attack, numbers in numbers_of_entry.items():
            panel += [AttackNumber(attack, n, numbers[n], null[attack][n], original[attack][n]) for n in numbers]
    return panel


def _mean(of_seeds: list[Scores], attack: str, number: str) -> float | None:
    return fmean(each.attacks[attack][number] for each in of_seeds) if of_seeds else None


def _swapped(references: References, board_entry: BoardEntry) -> list[AttackNumber]:
    by_seed = {seed: swap_units.evidence(references, record) for seed, record in sorted(board_entry.records.items())}
    swaps = {seed: evidence for seed, evidence in by_seed.items() if evidence is not None}
    if not swaps:
        return []
    null, original = (
        swap_units.numbers([swap_units.reference_evidence(references, kind, seed) for seed in swaps])
        for kind in ("retrained", "original")
    )
    return [
        AttackNumber(attack, number, value, null[attack][number], original[attack][number])
        for attack, numbers in swap_units.numbers(list(swaps.values())).items()
        for number, value in numbers.items()
    ]


def gate(references: References, board_entry: BoardEntry) -> list[GateResult] | None:
    """Run the cheap attacks on an entry's finished seeds; ``None`` without any, or without a second retrained model."""
    by_seed = {seed: scores.record_scores(references, record) for seed, record in sorted(board_entry.records.items())}
    finished = {seed: seed_scores for seed, seed_scores in by_seed.items() if seed_scores is not None}
    if not finished or not references.has_null:
        return None
    null = {seed: scores.reference_scores(references, "null", seed) for seed in finished}

    def values(seed_scores: dict[int, Scores]) -> dict[str, list[float]]:
        counting = (attack for attack in attacks.attacks_on("model") if attack.evidence)
        return {
            each.name: [seed_scores[seed].attacks[each.name][each.evidence] for seed in finished] for each in counting
        }

    return cheap_gate.gate(values(finished), values(null))
