"""From stored records to the board of a track: which entries there are, their rows, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from unlearn_bench.harness.entries.entry import shipped_digests
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.badges import DISQUALIFIED, UNTRUSTED, badge, worst
from unlearn_bench.harness.results.board_entries import REFERENCES, Candidate, candidates, shadow_records
from unlearn_bench.harness.results.review import Mark, marks
from unlearn_bench.harness.results.scores import Scores, ShadowScores
from unlearn_bench.harness.support.hardware import hardware_class
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import probe_units
from unlearn_bench.harness.units import shadow_units as shadows
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.board import RESAMPLES, overall_board, seed_columns, track_board
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.membership import Membership, membership
from unlearn_bench.scoring.rows import Shadows, checked, columns


def rows(references: References, present: Sequence[Candidate] | None = None) -> pd.DataFrame:
    """One row per entry and seed, as ``scoring.rows`` wants them. ``present``: the candidates, where they are known."""
    table = []
    present = candidates(references) if present is None else present
    for candidate in present:
        for seed, record in sorted(candidate.records.items()):
            found = None if candidate.kind == "reference" else scores.of_record(references, record)
            if candidate.kind != "reference" and (found is not None or record.status != "ok"):
                table.append(_row(references.track, candidate.name, candidate.kind, seed, record.status, found, record))
    timed = {candidate.name: candidate.records for candidate in present}
    for name, kind in REFERENCES.items():
        for seed in range(references.track.protocol.seeds):
            found = scores.of_reference(references, kind, seed)
            run = timed.get(name, {}).get(seed)
            table.append(_row(references.track, name, "reference", seed, "ok", found, run))
    return pd.DataFrame(table, columns=columns())


def shadow_scores(
    references: References, known: Sequence[Candidate] | None = None
) -> dict[str, tuple[ShadowRecord, ShadowScores | None]]:
    """Entry → the record of its shadow units, and their scores (``None``: they failed)."""
    found = shadow_records(references, known)
    return {name: (record, scores.of_shadows(references, record)) for name, record in found.items()}


@dataclass(frozen=True)
class Results:
    """What a track's store says at one moment: boards, and a board over several tracks, are made from it."""

    references: References
    candidates: dict[str, Candidate]
    rows: pd.DataFrame
    """As ``scoring.rows`` wants them."""
    records: dict[str, ShadowRecord]
    """Shadow records by entry, reference rows included."""
    shadows: list[Shadows]
    trusted: dict[str, bool]
    inconsistent: dict[str, str]
    marks: dict[str, Mark]
    """By entry."""

    @cached_property
    def _scores(self) -> dict[object, Scores | None]:
        return {}

    def score(self, record: Record) -> Scores | None:
        """As ``scores.of_record``, each parsed once."""
        if record.key not in self._scores:
            self._scores[record.key] = scores.of_record(self.references, record)
        return self._scores[record.key]

    def zero(self, kind: RoleKind, seed: int) -> Scores:
        """As ``scores.of_reference``, each parsed once."""
        found = self._scores.get((kind, seed))
        if found is None:
            found = self._scores[kind, seed] = scores.of_reference(self.references, kind, seed)
        return found

    @cached_property
    def _known(self) -> dict[frozenset[str], Membership]:
        return {}

    def groups(self, names: frozenset[str]) -> Membership:
        """Who is in which group, if only these entries take part; boards over several tracks ask again."""
        if names not in self._known:
            track = self.references.track
            table = checked(self.rows[self.rows["entry"].isin(names)], {track.name: track.protocol.seeds})
            own = [one for one in self.shadows if one.entry in names]
            self._known[names] = membership(table, track.name, track.protocol.seeds, RESAMPLES, 0, own)
        return self._known[names]

    def refused(self, public: bool) -> dict[str, tuple[str, str]]:
        """State and reason of the entries that are shown without a place."""
        out = {}
        for name in set(self.rows["entry"]) - set(REFERENCES):
            if why := self.mark(name).disqualified:
                out[name] = (DISQUALIFIED, why)
            elif public and not self.trusted.get(name, True):
                out[name] = (UNTRUSTED, "timed units of a public board come from containers")
        return out

    def find_groups(self, public: bool) -> None:
        """All groups that the track's board asks for."""
        everyone = frozenset(self.rows["entry"])
        for names in {everyone - set(self.refused(public)), everyone}:
            self.groups(names)

    def mark(self, name: str) -> Mark:
        return self.marks.get(name, Mark())

    def badge(self, name: str, kind: str) -> str:
        return badge(kind, self.trusted.get(name, True), self.mark(name))


def results(references: References) -> Results:
    """Read a track's store once."""
    everyone = candidates(references)
    attacked = shadow_scores(references, everyone)
    track, present = references.track, {candidate.name: candidate for candidate in everyone}
    why = {name: probe_units.of_shadows(references, record) for name, (record, _) in attacked.items()}
    shipped = shipped_digests()
    trusted = {name: candidate.trusted for name, candidate in present.items()}
    for name, (record, _) in attacked.items():
        trusted[name] = trusted.get(name, True) and (record.trusted or record.sha256 in shipped)
    return Results(
        references=references,
        candidates=present,
        rows=rows(references, everyone),
        records={name: record for name, (record, _) in attacked.items()},
        shadows=[_shadows(track, name, *pair, bool(why[name])) for name, pair in attacked.items()],
        trusted=trusted,
        inconsistent=why,
        marks=marks(references, everyone),
    )


def board(references: References, public: bool = False, found: Results | None = None) -> pd.DataFrame:
    """The ranked board of a track; ``harness.report.columns`` says what stands in each column.

    ``trusted``: every timed unit comes from a sandbox, every shadow unit too or is of a source that ships. On a
    ``public`` board a row that is not trusted has the state ``untrusted sandbox``, no groups and no rank, and sets no
    cut points; it stands after the ranked ones. ``inconsistent``: why the row's U-LiRA has no group and no rank, see
    ``harness.units.probe_units``; empty when all is well. ``found``: what was read before.
    """
    found = found or results(references)
    track, table = references.track, found.rows

    def ranking(names: set[str]) -> pd.DataFrame:
        shadows = [one for one in found.shadows if one.entry in names]
        chosen, groups = table[table["entry"].isin(names)], found.groups(frozenset(names))
        return track_board(chosen, track.name, track.protocol.seeds, shadows=shadows, groups=groups)

    everyone, refused = set(table["entry"]), found.refused(public)
    ranked = ranking(everyone - set(refused))
    if refused:
        ranked = _listed(ranked, ranking(everyone), refused)
    names = [str(name) for name in ranked["entry"]]
    ranked["trusted"] = [found.trusted.get(name, True) for name in names]
    if track.sealed:  # an entry may choose by failing which seeds are ok: their means are not for participants
        partial = (ranked["seeds_ok"] < ranked["seeds_total"]) & (ranked["kind"] != "reference")
        ranked.loc[partial, seed_columns()] = np.nan
    ranked["verified"] = [found.mark(name).verified for name in names]
    ranked["inconsistent"] = [found.inconsistent.get(name, "") for name in names]
    said = [found.badge(name, str(kind)) for name, kind in zip(names, ranked["kind"], strict=True)]
    ranked["badge"] = pd.array(said, dtype="string")
    shown = {} if track.sealed else found.candidates  # nothing of a single unit
    ran = [list(shown[name].records.values()) if name in shown else [] for name in names]
    classes = [", ".join(sorted({hardware_class(record.environment) for record in of})) for of in ran]
    ranked["hardware"] = pd.array(classes, dtype="string")
    ranked["date"] = pd.array([max((record.date[:10] for record in of), default="") for of in ran], dtype="string")
    return ranked


def overall(tracks: Sequence[Results], public: bool = False) -> pd.DataFrame:
    """The board over several tracks, columns as ``scoring.board.overall_board``; ``badge``, ``trusted`` beside them.

    Entries that stand on every track with one and the same source; on a ``public`` board trusted everywhere, too.
    """
    sources: dict[str, set[str]] = {}
    for one in tracks:
        for name, candidate in one.candidates.items():
            sources.setdefault(name, set()).add(candidate.sha256)
    refused: set[str] = set().union(*(one.refused(public) for one in tracks))
    refused |= {name for name, of in sources.items() if len(of) > 1 and name not in REFERENCES}
    table = pd.concat([one.rows[~one.rows["entry"].isin(refused)] for one in tracks], ignore_index=True)
    shadows = [shadow for one in tracks for shadow in one.shadows if shadow.entry not in refused]
    seeds = {one.references.track.name: one.references.track.protocol.seeds for one in tracks}
    groups = [one.groups(frozenset(one.rows["entry"]) - refused) for one in tracks]
    ranked = overall_board(table, seeds, shadows=shadows, groups=groups)
    names = [str(name) for name in ranked["entry"]]
    ranked["trusted"] = [all(one.trusted.get(name, True) for one in tracks) for name in names]
    kinds = zip(names, ranked["kind"], strict=True)
    said = [worst({one.badge(name, str(kind)) for one in tracks}) for name, kind in kinds]
    ranked["badge"] = pd.array(said, dtype="string")
    return ranked


def _listed(ranked: pd.DataFrame, whole: pd.DataFrame, refused: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """A board with the refused rows of the whole one before its reference rows: their numbers, and no place."""
    rest = whole[whole["entry"].isin(refused)].sort_values("entry").copy()
    for column in rest.columns:
        if column.startswith(("rank", "group_", "keep_")):
            rest[column] = rest[column].where(np.zeros(len(rest), bool))  # nothing, of the column's own kind
    rest[[*GROUPS, "F"]] = 0
    rest["state"] = [refused[str(name)][0] for name in rest["entry"]]
    rest["reason"] = [refused[str(name)][1] for name in rest["entry"]]
    references = ranked["state"] == "reference"
    return pd.concat([ranked[~references], rest, ranked[references]], ignore_index=True)


def floor(references: References, known: Sequence[Candidate] | None = None) -> float | None:
    """Seconds that a unit costs which changes nothing, the median over the seeds: part of every run time.

    ``None`` where the identity entry (``original``) has not run.
    """
    known = candidates(references) if known is None else known
    found = [candidate for candidate in known if candidate.name == "original"]
    seconds = [record.seconds for one in found for record in one.records.values() if record.seconds is not None]
    return float(np.median(seconds)) if seconds else None


def null(references: References, known: Sequence[Candidate] | None = None) -> dict[str, float]:
    """The zero line: a second retrained model from other initial weights, mean over the seeds.

    ``ulira``, ``ulira_low``, ``ulira_high`` where shadow models are there: retrained against retrained, the null band.
    """
    means = {each.name: scores.null_mean(references, each.name) for each in metric_table.of_models() if each.null}
    numbers = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    _, band = shadow_scores(references, known).get(shadows.RETRAIN, (None, None))
    if band is not None:
        own = band.attacks["ulira"]
        numbers |= {"ulira": own["accuracy"], "ulira_low": own["accuracy_low"], "ulira_high": own["accuracy_high"]}
    return numbers


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
    return {
        "entry": name,
        "kind": kind,
        "track": track.name,
        "seed": seed,
        "status": status,
        **{metric.name: scores.value(metric, found, record) for metric in metric_table.per_seed()},
        "ra_retrain": None if found is None else found.ra_retrain,
        "classes": track.data.classes,
    }
