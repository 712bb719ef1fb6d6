"""Everything that is stored about one entry on one track, and the part of it that participants of a sealed one see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import attack_panel, board, consistency, probed, scores
from unlearn_bench.harness.results.attack_panel import AttackNumber
from unlearn_bench.harness.results.board_entries import BoardEntry, find
from unlearn_bench.harness.results.consistency import ShadowFaults
from unlearn_bench.harness.results.review import Mark
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure, tuning
from unlearn_bench.harness.units.records import Record, ShadowRecord


@dataclass(frozen=True)
class PublicDetails:
    """What participants may see of an entry on a sealed track: nothing of a single unit."""

    board_entry: BoardEntry
    track: Track
    board: pd.DataFrame
    statuses: Mapping[str, int]
    """How many units ended with which status."""
    panel: Sequence[AttackNumber]
    """What every attack reads; empty unless all units are ok."""


@dataclass(frozen=True)
class EntryDetails:
    """Everything about an entry."""

    board_entry: BoardEntry
    track: Track
    board: pd.DataFrame
    records: Sequence[Record]
    """By seed."""
    scores: Sequence[Scores | None]
    """Of the records; ``None`` where a unit did not finish."""
    shadow: ShadowRecord | None
    inconsistent: Mapping[str, str]
    """What reads units that are unlike the entry's timed ones, and the number that says so."""
    panel: Sequence[AttackNumber]
    """What every attack reads."""
    search: tuning.SearchChoice | None
    """What a search for hyper-parameters chose."""
    mark: Mark | None
    """Reruns and disqualification, where there are any."""
    weight_null: float | None
    """Distance between the weights of two retrained models."""
    probe_faults: Sequence[str]
    """Why probes have no numbers of its models, by seed."""

    @property
    def digests(self) -> dict[str, str]:
        """The three digests of the track."""
        return {name: getattr(self.track, f"{name}_digest") for name in ("reference", "protocol", "analysis")}


def entry_details(references: References, name: str) -> EntryDetails:
    """Return everything about the entry of this name, or about its version ``NAME@VERSION`` as if that stood.

    Raises:
        BenchError: no such entry on the track.
    """
    track, board_entry = references.track, find(references, name)
    results = board.read_results(references, board_entry)
    records = [board_entry.records[seed] for seed in sorted(board_entry.records)]
    attacked = results.shadows.get(board_entry.name)
    shadow, of_shadows = (None, ShadowFaults()) if attacked is None else (attacked.record, attacked.faults)
    return EntryDetails(
        board_entry=board_entry,
        track=track,
        board=board.board(references, results=results),
        records=records,
        scores=[results.record_scores(record) for record in records],
        shadow=shadow,
        inconsistent=consistency.faults(references, board_entry, shadow, of_shadows),
        panel=attack_panel.attack_numbers(references, board_entry, results),
        search=tuning.choice(board_entry.name, records[0].sha256, track, references.store),
        mark=results.marks.get(board_entry.name),
        weight_null=scores.weight_null(references),
        probe_faults=probed.faults(references, board_entry),
    )


def public_details(references: References, name: str) -> PublicDetails:
    """Return what participants may see of the entry of this name on a sealed track.

    Raises:
        BenchError: no such entry on the track.
    """
    board_entry = find(references, name)
    results = board.read_results(references, board_entry)
    statuses = disclosure.tally(board_entry.records.values())
    complete = statuses == {"ok": references.track.protocol.seeds}
    panel = attack_panel.attack_numbers(references, board_entry, results) if complete else []
    return PublicDetails(board_entry, references.track, board.board(references, results=results), statuses, panel)
