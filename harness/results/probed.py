"""What probes found of entries and of reference models, from the store; nothing is run, and torch is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unlearn_bench.harness.probes import stored
from unlearn_bench.harness.probes.stored import ProbeResult
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.scoring.forgetting import Reading

Results = Mapping[str, ProbeResult]


def entry_results(references: References, board_entry: BoardEntry) -> dict[int, Results]:
    """Return what probes found of an entry's finished seeds, by seed and probe; empty for a seed without any."""
    store, track = references.store, references.track
    finished = {seed: record for seed, record in sorted(board_entry.records.items()) if record.status == "ok"}
    return {seed: stored.read(store, track, record.key).results for seed, record in finished.items()}


def reference_results(references: References, kind: RoleKind, seeds: Sequence[int]) -> dict[int, Results]:
    """Return what probes found of the reference models of a kind, by seed and probe."""
    store, track = references.store, references.track
    return {seed: stored.read(store, track, stored.reference_name(kind, seed)).results for seed in seeds}


def readings(references: References, own: Mapping[int, Results]) -> list[Reading]:
    """Return the evidence of every probe that has looked at all seeds of an entry, or of a reference row."""
    return [
        Reading(results[0][probe].title, "seed", *(_values(side, probe, evidence) for side in (results, null, original)))
        for probe, evidence, results, null, original in _compared(references, own)
        if evidence
    ]


def numbers(
    references: References, board_entry: BoardEntry
) -> list[tuple[str, str, float, float, float]]:
    """Return probe, number, and its mean over the seeds for an entry, the null models and the originals."""
    rows = []
    for probe, _, results, null, original in _compared(references, entry_results(references, board_entry)):
        headline = results[0][probe].headline
        names = [headline, *(name for name in results[0][probe].numbers if name != headline)]
        for name in names:
            if all(name in each[probe].numbers for side in (results, null, original) for each in side):
                means = [float(_values(side, probe, name).mean()) for side in (results, null, original)]
                rows.append((probe, name, *means))
    return rows  # type: ignore[return-value]


def faults(references: References, board_entry: BoardEntry) -> list[str]:
    """Return why probes have no numbers of an entry, by seed and probe, for people."""
    return [
        f"seed {seed}: {result.fault}"
        for seed, results in entry_results(references, board_entry).items()
        for result in results.values()
        if result.fault
    ]


def _compared(
    references: References, own: Mapping[int, Results]
) -> list[tuple[str, str, list[Results], list[Results], list[Results]]]:
    """Return probes that succeeded on all seeds of one side and on their nulls and originals, with all results."""
    if not own:
        return []
    sides = [list(own.values())]
    sides += [list(reference_results(references, kind, list(own)).values()) for kind in ("null", "original")]
    first = sides[0][0]
    return [
        (probe, first[probe].evidence, sides[0], sides[1], sides[2])
        for probe in first
        if all(probe in results and not results[probe].fault for side in sides for results in side)
    ]


def _values(side: Sequence[Results], probe: str, number: str) -> np.ndarray:
    return np.array([results[probe].numbers[number] for results in side])
