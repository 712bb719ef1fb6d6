"""What probes found of entries and of reference models, from the store; nothing is run, and torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.probes import stored
from unlearn_bench.harness.probes.stored import ProbeResult
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.units import result_names
from unlearn_bench.scoring.forgetting import Reading

Results = Mapping[str, ProbeResult]
Values = NDArray[np.float64]
_OTHERS: tuple[RoleKind, RoleKind] = ("null", "original")


def entry_results(references: References, board_entry: BoardEntry) -> dict[int, Results]:
    """Return what probes found of an entry's finished seeds, by seed and probe; empty for a seed without any."""
    store, track = references.store, references.track
    finished = {seed: record for seed, record in sorted(board_entry.records.items()) if record.status == "ok"}
    names = {seed: result_names.of_unit(references, record) for seed, record in finished.items()}
    return {seed: stored.read(store, track, name).results for seed, name in names.items()}


def reference_results(references: References, kind: RoleKind, seeds: Sequence[int]) -> dict[int, Results]:
    """Return what probes found of the reference models of a kind, by seed and probe."""
    store, track = references.store, references.track
    names = {seed: result_names.of_reference(references, kind, seed) for seed in seeds}
    return {seed: stored.read(store, track, name).results for seed, name in names.items()}


def readings(references: References, own: Mapping[int, Results]) -> list[Reading]:
    """Return the evidence of every probe that has looked at all seeds of an entry, or of a reference row."""
    retrained = reference_results(references, "retrained", list(own))
    found = []
    for each in _compared(references, own):
        if each.evidence:
            of_retrained = [results.get(each.probe) for results in retrained.values()]
            values = [result.numbers[each.evidence] for result in of_retrained if result and not result.fault]
            known = np.array(values) if len(values) == len(own) else None
            found.append(Reading(each.title, "seed", *each.values(each.evidence), retrained=known))
    return found


def numbers(references: References, board_entry: BoardEntry) -> list[tuple[str, str, float, float, float]]:
    """Return probe, number, and its mean over the seeds for an entry, the null models and the originals."""
    rows = []
    for each in _compared(references, entry_results(references, board_entry)):
        for number in each.numbers:
            entry, null, original = (float(values.mean()) for values in each.values(number))
            rows.append((each.probe, number, entry, null, original))
    return rows


def faults(references: References, board_entry: BoardEntry) -> list[str]:
    """Return why probes have no numbers of an entry, by seed and probe, for people."""
    return [
        f"seed {seed}: {result.fault}"
        for seed, results in entry_results(references, board_entry).items()
        for result in results.values()
        if result.fault
    ]


@dataclass(frozen=True)
class _Compared:
    """What one probe found of a row, of the null models and of the originals of the same seeds."""

    probe: str
    sides: tuple[Sequence[ProbeResult], Sequence[ProbeResult], Sequence[ProbeResult]]

    @property
    def title(self) -> str:
        return self.sides[0][0].title

    @property
    def evidence(self) -> str:
        return self.sides[0][0].evidence

    @property
    def numbers(self) -> list[str]:
        """The headline first; those that every model has."""
        first = self.sides[0][0]
        names = [first.headline, *(name for name in first.numbers if name != first.headline)]
        return [name for name in names if all(name in result.numbers for side in self.sides for result in side)]

    def values(self, number: str) -> tuple[Values, Values, Values]:
        """Return a number [seeds] of each side."""
        entry, null, original = (np.array([result.numbers[number] for result in side]) for side in self.sides)
        return entry, null, original


def _compared(references: References, own: Mapping[int, Results]) -> list[_Compared]:
    """Return the probes that succeeded on all models of all sides."""
    if not own or not all(own.values()):
        return []
    others = [reference_results(references, kind, list(own)) for kind in _OTHERS]
    sides = [list(side.values()) for side in (own, *others)]
    compared = []
    for probe in sides[0][0]:
        if all(probe in results and not results[probe].fault for side in sides for results in side):
            entry, null, original = ([results[probe] for results in side] for side in sides)
            compared.append(_Compared(probe, (entry, null, original)))
    return compared
