"""From stored records to the board of a track: which entries there are, their rows, and the ranking."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness import scores, units
from harness.entries import baseline, baseline_names, shipped_digests
from harness.references import References
from harness.scores import Scores
from harness.track import Track
from harness.units import Record
from scoring.board import track_board
from scoring.rows import COLUMNS, VALUES

REFERENCES = {"original": "original", "retrain": "retrained"}
"""Reference rows: the shipped entry that is timed, and the reference model whose logits count."""


@dataclass(frozen=True)
class Candidate:
    """An entry on a track: the newest version under its name, with its records by seed."""

    name: str
    entry: str
    kind: str
    records: dict[int, Record]

    @property
    def trusted(self) -> bool:
        return all(record.trusted for record in self.records.values())


def candidates(references: References) -> list[Candidate]:
    """Entries that have records on the track; of one name only the version that ran last."""
    shipped = shipped_digests()
    kinds = {name: baseline(name).kind for name in baseline_names()}
    versions: dict[tuple[str, str], dict[int, Record]] = {}
    for record in units.records(references.store, references.track):
        versions.setdefault((record.name, record.entry), {})[record.seed] = record
    newest: dict[str, Candidate] = {}
    for (name, entry), found in sorted(versions.items(), key=lambda item: max(r.date for r in item[1].values())):
        sha = next(iter(found.values())).sha256
        kind = kinds.get(name, "baseline") if sha in shipped else "entry"
        if name in kinds and kind == "entry":
            continue  # an older version of a shipped method
        newest[name] = Candidate(name, entry, kind, found)
    return [newest[name] for name in sorted(newest)]


def rows(references: References) -> pd.DataFrame:
    """One row per entry and seed, as ``scoring.rows`` wants them."""
    table = []
    present = candidates(references)
    for candidate in present:
        for seed, record in sorted(candidate.records.items()):
            found = None if candidate.kind == "reference" else scores.of_record(references, record)
            if candidate.kind != "reference" and (found is not None or record.status != "ok"):
                table.append(_row(references.track, candidate.name, candidate.kind, seed, record.status, found, record))
    timed = {candidate.name: candidate.records for candidate in present}
    for name, kind in REFERENCES.items():
        for seed in range(references.track.protocol.seeds):
            found = scores.of_reference(references, kind, seed)  # type: ignore[arg-type]
            run = timed.get(name, {}).get(seed)
            table.append(_row(references.track, name, "reference", seed, "ok", found, run))
    return pd.DataFrame(table, columns=[*COLUMNS])


def board(references: References) -> pd.DataFrame:
    """The ranked board of a track, columns as in ``scoring.board.track_board``, with ``trusted`` beside them."""
    ranked = track_board(rows(references), references.track.name, references.track.protocol.seeds)
    trusted = {candidate.name: candidate.trusted for candidate in candidates(references)}
    ranked["trusted"] = [trusted.get(str(name), True) for name in ranked["entry"]]
    return ranked


def null(references: References) -> dict[str, float]:
    """The zero line: a second retrained model from other initial weights, mean over the seeds."""
    found = [scores.of_reference(references, "null", seed) for seed in range(references.track.protocol.seeds)]
    return {name: scores.mean(found, name) for name in ("retdev", "umia", "indisc")}


def _row(
    track: Track, name: str, kind: str, seed: int, status: str, found: Scores | None, record: Record | None
) -> dict[str, object]:
    values = {column: getattr(found, column, None) for column in VALUES if column != "rte"}
    rte = None
    if record is not None and record.retrain_seconds is not None and record.seconds:
        rte = record.retrain_seconds / record.seconds
    return {
        "entry": name,
        "kind": kind,
        "track": track.name,
        "seed": seed,
        "status": status,
        **values,
        "rte": rte,
        "ra_retrain": None if found is None else found.ra_retrain,
        "classes": track.data.classes,
    }
