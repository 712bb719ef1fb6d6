"""From stored records to the board of a track: which entries there are, their rows, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import scoring.gate
from harness import consistency, marks, scores, shadows, swaps
from harness.candidates import Candidate, candidates
from harness.entries import shipped_digests
from harness.references import References
from harness.scores import Scores, ShadowScores
from harness.shadows import ShadowRecord
from harness.track import Track
from harness.units import Record
from scoring.board import track_board
from scoring.gate import ATTACKS, Reading
from scoring.groups import GROUPS
from scoring.rows import COLUMNS, VALUES, Shadows

UNTRUSTED = "untrusted sandbox"
"""State and badge of a row that a public board lists without a rank."""
DISQUALIFIED = "disqualified"
"""State of a row that a maintainer took out of the ranks; its reason says why."""
UNRANKED = frozenset({UNTRUSTED, DISQUALIFIED})
REFERENCES = {"original": "original", "retrain": "retrained"}
"""Reference rows: the shipped entry that is timed, and the reference model whose logits count."""


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


def shadow_records(references: References) -> dict[str, ShadowRecord]:
    """Entry → the record of its shadow units, reference rows included.

    Of an entry the version that stands on the board, with the parameters that ran last.
    """
    if not references.track.protocol.lira_splits:
        return {}
    present = {candidate.name: candidate for candidate in candidates(references)}
    newest: dict[str, ShadowRecord] = {}
    for record in sorted(shadows.records(references), key=lambda record: record.date):
        known = present.get(record.name)
        if record.name in REFERENCES or (known is not None and record.sha256 == known.sha256):
            newest[record.name] = record
    return dict(sorted(newest.items()))


def shadow_scores(references: References) -> dict[str, tuple[ShadowRecord, ShadowScores | None]]:
    """Entry → the record of its shadow units, and their scores (``None``: they failed)."""
    found = shadow_records(references)
    return {name: (record, scores.of_shadows(references, record)) for name, record in found.items()}


def board(references: References, public: bool = False) -> pd.DataFrame:
    """The ranked board of a track, columns as in ``scoring.board.track_board``, with two more beside them.

    ``trusted``: every timed unit comes from a sandbox, every shadow unit too or is of a source that ships. On a
    ``public`` board a row that is not trusted has the state ``untrusted sandbox``, no groups and no rank, and sets no
    cut points; it stands after the ranked ones. ``inconsistent``: why the row's U-LiRA has no group and no rank, see
    ``harness.consistency``; empty when all is well.
    """
    attacked = shadow_scores(references)
    track, table = references.track, rows(references)
    differing = {name: consistency.of_shadows(references, record) for name, (record, _) in attacked.items()}
    found = [_shadows(track, name, *pair, bool(differing[name])) for name, pair in attacked.items()]
    shipped = shipped_digests()
    trusted = {candidate.name: candidate.trusted for candidate in candidates(references)}
    for name, (record, _) in attacked.items():
        trusted[name] = trusted.get(name, True) and (record.trusted or record.sha256 in shipped)

    def ranking(names: set[str]) -> pd.DataFrame:
        shadows = [one for one in found if one.entry in names]
        chosen = table[table["entry"].isin(names)]
        return track_board(chosen, track.name, track.protocol.seeds, shadows=shadows)

    everyone = set(table["entry"])
    reason = "timed units of a public board come from containers"
    bare = {name for name in everyone - set(REFERENCES) if not trusted.get(name, True)} if public else set()
    marked = marks.marks(references)
    refused = dict.fromkeys(bare, (UNTRUSTED, reason))
    refused |= {name: (DISQUALIFIED, mark.disqualified) for name, mark in marked.items() if mark.disqualified}
    ranked = ranking(everyone - set(refused))
    if refused:
        ranked = _listed(ranked, ranking(everyone), refused)
    ranked["trusted"] = [trusted.get(str(name), True) for name in ranked["entry"]]
    if track.sealed:  # an entry may choose by failing which seeds are ok: their means are not for participants
        partial = (ranked["seeds_ok"] < ranked["seeds_total"]) & (ranked["kind"] != "reference")
        numbers = [f"{value}{end}" for value in VALUES for end in ("", "_low", "_high")]
        ranked.loc[partial, [*numbers, "indisc_of_mean"]] = np.nan
    ranked["verified"] = [marked[str(name)].verified if str(name) in marked else "" for name in ranked["entry"]]
    ranked["inconsistent"] = [differing.get(str(name), "") for name in ranked["entry"]]
    return ranked


def _listed(ranked: pd.DataFrame, whole: pd.DataFrame, refused: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """A board with the refused rows (name → state and reason) of the whole one before its reference rows: their
    numbers, and no place."""
    rest = whole[whole["entry"].isin(refused)].sort_values("entry").copy()
    for column in rest.columns:
        if column.startswith(("rank", "group_", "keep_")):
            rest[column] = rest[column].where(np.zeros(len(rest), bool))  # nothing, of the column's own kind
    rest[[*GROUPS, "F"]] = 0
    for place, column in enumerate(("state", "reason")):
        rest[column] = [refused[str(name)][place] for name in rest["entry"]]
    references = ranked["state"] == "reference"
    return pd.concat([ranked[~references], rest, ranked[references]], ignore_index=True)


def floor(references: References) -> float | None:
    """Seconds that a unit costs which changes nothing, the median over the seeds: part of every run time.

    ``None`` where the identity entry (``original``) has not run.
    """
    found = [candidate for candidate in candidates(references) if candidate.name == "original"]
    seconds = [record.seconds for one in found for record in one.records.values() if record.seconds is not None]
    return float(np.median(seconds)) if seconds else None


def null(references: References) -> dict[str, float]:
    """The zero line: a second retrained model from other initial weights, mean over the seeds.

    ``ulira``, ``ulira_low``, ``ulira_high`` where shadow models are there: retrained against retrained, the null band.
    """
    found = [scores.of_reference(references, "null", seed) for seed in range(references.track.protocol.seeds)]
    numbers = {name: scores.mean(found, name) for name in ("retdev", "umia", "indisc")}
    _, band = shadow_scores(references).get(shadows.RETRAIN, (None, None))
    if band is not None:
        own = band.attacks["ulira"]
        numbers |= {"ulira": own["accuracy"], "ulira_low": own["accuracy_low"], "ulira_high": own["accuracy_high"]}
    return numbers


@dataclass(frozen=True)
class Finding:
    """One number of one attack on an entry, beside what retrained models and the original read."""

    attack: str
    number: str
    value: float
    null: float
    original: float


def findings(references: References, candidate: Candidate) -> list[Finding]:
    """Every number of the panel on an entry: means over the seeds, and of its shadow units where they ran."""
    kinds: dict[str, list[Scores]] = {"own": [], "null": [], "original": []}
    for seed, record in sorted(candidate.records.items()):
        if (found := scores.of_record(references, record)) is not None:
            kinds["own"].append(found)
            for kind in ("null", "original"):
                kinds[kind].append(scores.of_reference(references, kind, seed))
    table = []
    for attack, numbers in kinds["own"][0].attacks.items() if kinds["own"] else ():
        for number in numbers:
            means = [float(np.mean([s.attacks[attack][number] for s in kinds[kind]])) for kind in kinds]
            table.append(Finding(attack, number, *means))
    table += _swapped(references, candidate)
    known = shadow_records(references)
    if (shadow := known.get(candidate.name)) is not None and shadow.values is not None:
        # the zero line from as many pairs of splits: that of KLoM and ε depends on it
        rows = [replace(known[name], pairs=shadow.pairs) for name in (shadows.RETRAIN, shadows.ORIGINAL)]
        read = [scores.of_shadows(references, row) for row in (shadow, *rows)]
        own, null, original = ({**one.attacks, "collateral": one.collateral} for one in read if one is not None)
        for attack, numbers in own.items():
            table += [Finding(attack, n, numbers[n], null[attack][n], original[attack][n]) for n in numbers]
    return table


def _swapped(references: References, candidate: Candidate) -> list[Finding]:
    own = {seed: swaps.evidence(references, record) for seed, record in sorted(candidate.records.items())}
    found = [one for one in own.values() if one is not None]
    if not found:
        return []
    seeds = [seed for seed, one in own.items() if one is not None]
    null, original = (
        swaps.numbers([swaps.reference_evidence(references, kind, seed) for seed in seeds])
        for kind in ("retrained", "original")
    )
    return [
        Finding(attack, number, value, null[attack][number], original[attack][number])
        for attack, of in swaps.numbers(found).items()
        for number, value in of.items()
    ]


def gate(references: References, candidate: Candidate) -> list[Reading] | None:
    """The cheap attacks on an entry's finished seeds; ``None`` without any."""
    found = {seed: scores.of_record(references, record) for seed, record in sorted(candidate.records.items())}
    own = {seed: score for seed, score in found.items() if score is not None}
    if not own:
        return None
    zero = {seed: scores.of_reference(references, "null", seed) for seed in own}

    def values(of: dict[int, Scores]) -> dict[str, list[float]]:
        return {a: [of[seed].attacks[a][number] for seed in own] for a, number in ATTACKS.items()}

    return scoring.gate.gate(values(own), values(zero))


def _shadows(track: Track, name: str, record: ShadowRecord, found: ShadowScores | None, inconsistent: bool) -> Shadows:
    if found is None:
        return Shadows(name, track.name, record.status)
    own = found.attacks["ulira"]
    return Shadows(
        name, track.name, "ok", found.pair_accuracies, own["accuracy_low"], own["accuracy_high"], inconsistent
    )


def _row(
    track: Track, name: str, kind: str, seed: int, status: str, found: Scores | None, record: Record | None
) -> dict[str, object]:
    values = {column: getattr(found, column, None) for column in VALUES if column != "rte"}
    return {
        "entry": name,
        "kind": kind,
        "track": track.name,
        "seed": seed,
        "status": status,
        **values,
        "rte": None if record is None else record.rte,
        "ra_retrain": None if found is None else found.ra_retrain,
        "classes": track.data.classes,
    }
