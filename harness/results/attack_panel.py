"""What every attack reads of an entry, beside retrained models and the original, and what the cheap ones make of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board, scores
from unlearn_bench.harness.results.board_entries import BoardEntry, shadow_records
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.units import shadow_units, swap_units
from unlearn_bench.scoring import gate as cheap_gate
from unlearn_bench.scoring.gate import ATTACKS, GateResult


@dataclass(frozen=True)
class AttackNumber:
    """One number of one attack on an entry, beside what retrained models and the original read."""

    attack: str
    number: str
    value: float
    null: float
    original: float


def attack_numbers(
    references: References, board_entry: BoardEntry, found: board.Results | None = None
) -> list[AttackNumber]:
    """Every number of the panel on an entry: means over the seeds, and of its shadow units where they ran.

    ``found``: what was read before.
    """
    of_record = found.record_scores if found else lambda record: scores.record_scores(references, record)
    of_reference = (
        found.reference_scores if found else lambda kind, seed: scores.reference_scores(references, kind, seed)
    )
    kinds: dict[str, list[Scores]] = {"own": [], "null": [], "original": []}
    for seed, record in sorted(board_entry.records.items()):
        if (own_scores := of_record(record)) is not None:
            kinds["own"].append(own_scores)
            kinds["null"].append(of_reference("null", seed))
            kinds["original"].append(of_reference("original", seed))
    table = []
    for attack, numbers in kinds["own"][0].attacks.items() if kinds["own"] else ():
        for number in numbers:
            means = [float(np.mean([s.attacks[attack][number] for s in kinds[kind]])) for kind in kinds]
            table.append(AttackNumber(attack, number, *means))
    table += _swapped(references, board_entry)
    known = found.records if found else shadow_records(references)
    if (shadow := known.get(board_entry.name)) is not None and shadow.values is not None:
        # the zero line from as many pairs of splits: that of KLoM and ε depends on it
        rows = [replace(known[name], pairs=shadow.pairs) for name in (shadow_units.RETRAIN, shadow_units.ORIGINAL)]
        read = [scores.entry_shadow_scores(references, row) for row in (shadow, *rows)]
        own, null, original = ({**one.attacks, "collateral": one.collateral} for one in read if one is not None)
        for attack, numbers in own.items():
            table += [AttackNumber(attack, n, numbers[n], null[attack][n], original[attack][n]) for n in numbers]
    return table


def _swapped(references: References, board_entry: BoardEntry) -> list[AttackNumber]:
    own = {seed: swap_units.evidence(references, record) for seed, record in sorted(board_entry.records.items())}
    found = [one for one in own.values() if one is not None]
    if not found:
        return []
    seeds = [seed for seed, one in own.items() if one is not None]
    null, original = (
        swap_units.numbers([swap_units.reference_evidence(references, kind, seed) for seed in seeds])
        for kind in ("retrained", "original")
    )
    return [
        AttackNumber(attack, number, value, null[attack][number], original[attack][number])
        for attack, of in swap_units.numbers(found).items()
        for number, value in of.items()
    ]


def gate(references: References, board_entry: BoardEntry) -> list[GateResult] | None:
    """Run the cheap attacks on an entry's finished seeds; ``None`` without any."""
    found = {seed: scores.record_scores(references, record) for seed, record in sorted(board_entry.records.items())}
    own = {seed: score for seed, score in found.items() if score is not None}
    if not own:
        return None
    zero = {seed: scores.reference_scores(references, "null", seed) for seed in own}

    def values(of: dict[int, Scores]) -> dict[str, list[float]]:
        return {a: [of[seed].attacks[a][number] for seed in own] for a, number in ATTACKS.items()}

    return cheap_gate.gate(values(own), values(zero))
