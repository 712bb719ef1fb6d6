"""Whether an entry does in its untimed units what it does in its seed units, and in timed ones what it does elsewhere.

An entry can tell a shadow unit by the size of R. One that destroys the model there, or retrains it, would have nothing
for U-LiRA to find. See ``scoring.consistency`` for the numbers that are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.results.scores import ShadowScores
from unlearn_bench.harness.units import shadow_units, unit_store, yardstick_units
from unlearn_bench.harness.units.records import ShadowRecord
from unlearn_bench.harness.units.unit_kinds import SwapUnit
from unlearn_bench.scoring.consistency import departure

Values = dict[str, Sequence[float]]
"""Numbers by name: one for each unit, or for each pair of shadow splits."""

MOST_DEGENERATE = 0.1
"""Share of examples without a spread of φ above which U-LiRA reads the outputs' form, not their content."""
LEAST_PAIRS = 4
"""Of splits; with two, one value of a side is left, and one value has no spread."""
MOST_HARMED = 0.15
"""By how much more than seed units' the accuracy of shadow units on V may fall short of Retrain's."""
LEARNT = 0.5
"""Accuracy on R of the retrained models of shadow units below which no other model can be held to them."""


def faults(
    references: References, board_entry: BoardEntry, attacked: ShadowRecord | None, of_attacked: ShadowFaults
) -> dict[str, str]:
    """Return why units of an entry are unlike its timed ones, for people, by what reads them.

    Args:
        references: of the track.
        board_entry: the entry.
        attacked: the record of its shadow units, whose hyper-parameters may be others than those of timed units.
        of_attacked: what :func:`of_shadows` returned of them.
    """
    ids = {board_entry.entry_id} | ({attacked.entry} if attacked is not None else set())
    untimed = [_of_yardsticks(references, board_entry, entry) for entry in sorted(ids)]
    reasons = {
        "U-LiRA": of_attacked.inconsistent,
        "SWAP": _of_swaps(references, board_entry),
        "untimed units": next(filter(None, untimed), ""),
    }
    return {reader: why for reader, why in reasons.items() if why}


@dataclass(frozen=True)
class ShadowFaults:
    """Why U-LiRA's reading of an entry does not count, for people; both are empty if it does, or none was measured."""

    inconsistent: str = ""
    """By which number its shadow units are unlike its timed ones."""
    harmed: str = ""
    """How much more than its seed models it harms its shadow models, as it may do honestly."""

    @property
    def reason(self) -> str:
        """Whichever holds."""
        return self.inconsistent or self.harmed


def of_shadows(
    references: References, board_entry: BoardEntry | None, record: ShadowRecord, shadow_scores: ShadowScores | None
) -> ShadowFaults:
    """Compare the shadow units of an entry with its seed units; ``board_entry`` is ``None`` where there are none."""
    if shadow_scores is None:
        return ShadowFaults()
    expected, found = seed_values(references, board_entry), shadow_values(references, record)
    why = departure("shadow", {**expected, **_seconds_expected(references, record.entry)}, found)
    return ShadowFaults(why or _degenerate(references, shadow_scores), _harmed(expected, found))


def _harmed(expected: Values, found: Values) -> str:
    if not expected.get("val") or not found.get("val"):
        return ""
    in_seeds, in_shadows = fmean(expected["val"]), fmean(found["val"])
    if in_shadows >= in_seeds - MOST_HARMED:
        return ""
    return f"VA of its shadow models is {-in_shadows:.2f} below Retrain's, that of its seed models {-in_seeds:.2f}"


def _of_swaps(references: References, board_entry: BoardEntry) -> str:
    records = unit_store.of_entry(references.store, SwapUnit, references.track, board_entry.entry_id).values()
    if not records:
        return ""
    seconds = [record.cpu_seconds for record in records if record.cpu_seconds is not None]
    expected = {**seed_values(references, board_entry), **_seconds_expected(references, board_entry.entry_id)}
    return departure("swapped", expected, {**_columns(records), "seconds": seconds})


def _of_yardsticks(references: References, board_entry: BoardEntry, entry: str) -> str:
    records = yardstick_units.measured(references, entry).values()
    if not records:  # then the seed units need not be read
        return ""
    return departure("untimed seed", seed_values(references, board_entry), _columns(records))


def seed_values(references: References, board_entry: BoardEntry | None) -> Values:
    """Return what is known of an entry's seed units: of older records only what their scores say."""
    if board_entry is None or board_entry.kind == "reference":
        return {}
    numbers = []
    for seed, record in board_entry.records.items():
        own = scores.record_scores(references, record)
        if own is not None:
            val = scores.reference_scores(references, "retrained", seed).metrics["va"]
            known = {"retain": own.metrics["ra"] - own.ra_retrain, "val": own.metrics["va"] - val}
            numbers.append({**record.behaviour, **known, "retdev": own.metrics["retdev"]})
    return _table(numbers)


def shadow_values(references: References, record: ShadowRecord) -> Values:
    """Return what is known of the shadow units of an entry: of older records only mean accuracies and CPU seconds."""
    retrained = next(row for row in shadow_units.reference_rows(references) if row.entry == shadow_units.RETRAIN)
    expected, own = retrained.accuracies, record.accuracies
    parts = [part for part in ("retain", "val") if part in own and part in expected]
    values: Values = {**{part: [own[part] - expected[part]] for part in parts}, **record.behaviour}
    if expected.get("retain", 0.0) < LEARNT:
        values = {name: numbers for name, numbers in values.items() if name == "weights"}
    if record.cpu_seconds is not None:
        values["seconds"] = [record.cpu_seconds / shadow_share(references)]
    return values


def shadow_share(references: References) -> float:
    """Return how many examples of R and F a shadow unit has for each of a seed unit.

    Of R alone would not do: some methods' work is on F, of which a shadow unit may have more.
    """
    parts, splits = references.examples.shadow_parts(0, 0), references.track.splits
    return (len(parts["retain"]) + len(parts["forget"])) / (splits.retain + splits.forget)


class _Behaving(Protocol):
    @property
    def behaviour(self) -> Mapping[str, float]: ...


def _columns(records: Iterable[_Behaving]) -> Values:
    return _table([record.behaviour for record in records])


def _table(rows: Sequence[Mapping[str, float]]) -> Values:
    """Return by name the values of the rows that have one."""
    names = {name for row in rows for name in row}
    return {name: [row[name] for row in rows if name in row] for name in sorted(names)}


def _seconds_expected(references: References, entry: str) -> Values:
    records = yardstick_units.measured(references, entry).values()
    return {"seconds": [record.cpu_seconds for record in records if record.cpu_seconds is not None]}


def _degenerate(references: References, shadow_scores: ShadowScores) -> str:
    if len(shadow_scores.pair_accuracies) < LEAST_PAIRS:
        return ""
    count, examples = shadow_scores.attacks["ulira"]["degenerate"], len(references.examples.population)
    if count <= MOST_DEGENERATE * examples:
        return ""
    return f"its shadow models have collapsed: they give {count:.0f} of {examples} examples the same φ each time"
