"""From stored records to the board of a track: its rows, and the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from unlearn_bench.harness.entries.entry import shipped_digests
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.results import consistency, panel_results, scores
from unlearn_bench.harness.results.badges import (
    DISQUALIFIED,
    INCONSISTENT,
    NO_BASELINES,
    SELF_REPORTED,
    UNTRUSTED,
    badge,
    worst,
)
from unlearn_bench.harness.results.board_entries import REFERENCES, BoardEntry, board_entries, reference_rows
from unlearn_bench.harness.results.consistency import ShadowFaults
from unlearn_bench.harness.results.panel_results import ShadowReading
from unlearn_bench.harness.results.review import Mark, marks
from unlearn_bench.harness.results.scores import Scores
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.hardware import hardware_class
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import shadow_units as shadows
from unlearn_bench.harness.units import tuning
from unlearn_bench.harness.units.records import Record
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.board import RESAMPLES, overall_board, seed_columns, track_board
from unlearn_bench.scoring.forgetting import Share
from unlearn_bench.scoring.group_membership import GroupMembership, membership
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.panel_result import PanelResult
from unlearn_bench.scoring.seed_rows import NOT_APPLICABLE, checked, columns
from unlearn_bench.scoring.ulira import null_band


def rows(references: References, entries: Sequence[BoardEntry] | None = None) -> pd.DataFrame:
    """Return one row per entry and seed, in the form of ``scoring.seed_rows``.

    ``entries``: those of :func:`board_entries`, where they have been read.
    """
    seed_rows, track = [], references.track
    entries = board_entries(references) if entries is None else entries
    for entry in entries:
        for seed, record in sorted(entry.records.items()):
            numbers = None if entry.kind == "reference" else scores.record_scores(references, record)
            if entry.kind != "reference" and (numbers is not None or record.status != "ok"):
                seed_rows.append(_row(track, entry.name, entry.kind, seed, record.status, numbers, record))
    records = {entry.name: entry.records for entry in entries}
    for name, kind in reference_rows(track).items():
        for seed in range(track.protocol.seeds):
            numbers = scores.reference_scores(references, kind, seed)
            timed = records.get(name, {}).get(seed)
            seed_rows.append(_row(track, name, "reference", seed, "ok", numbers, timed))
    return pd.DataFrame(seed_rows, columns=columns())


@dataclass(frozen=True)
class Results:
    """What a track's store held at one moment, from which boards are made."""

    references: References
    entries: dict[str, BoardEntry]
    rows: pd.DataFrame
    """As ``scoring.seed_rows`` wants them."""
    shadows: dict[str, ShadowReading]
    """By entry, reference rows included."""
    panel: list[PanelResult]
    trusted: dict[str, bool]
    marks: dict[str, Mark]
    """By entry."""
    inconsistent: dict[str, str]
    """Why units of an entry are unlike its timed ones, of the entries of which they are; reference rows included."""
    searches: dict[str, tuning.SearchChoice]
    """What a search chose for the entries that ran with its choice."""
    _scores: dict[object, Scores | None] = field(default_factory=dict, repr=False)
    """By key of the record, or by kind and seed of the reference model."""
    _groups: dict[frozenset[str], GroupMembership] = field(default_factory=dict, repr=False)
    """By the entries that take part."""

    def record_scores(self, record: Record) -> Scores | None:
        """Return ``scores.record_scores``, each parsed once."""
        if record.key not in self._scores:
            self._scores[record.key] = scores.record_scores(self.references, record)
        return self._scores[record.key]

    def reference_scores(self, kind: RoleKind, seed: int) -> Scores:
        """Return ``scores.reference_scores``, each parsed once."""
        parsed = self._scores.get((kind, seed))
        if parsed is None:
            parsed = self._scores[kind, seed] = scores.reference_scores(self.references, kind, seed)
        return parsed

    def shares(self, name: str) -> list[Share]:
        """Return what every attack and probe finds of an entry, from its null (0) to Original (1)."""
        return self._found[name].shares if name in self._found else []

    @cached_property
    def _found(self) -> dict[str, PanelResult]:
        return {found.entry: found for found in self.panel}

    def groups(self, names: frozenset[str]) -> GroupMembership:
        """Return the groups if only these entries take part; boards over several tracks ask with fewer."""
        if names not in self._groups:
            track = self.references.track
            chosen_rows = checked(self.rows[self.rows["entry"].isin(names)], {track.name: track.protocol.seeds})
            found = [result for result in self.panel if result.entry in names]
            self._groups[names] = membership(chosen_rows, track.name, track.protocol.seeds, RESAMPLES, 0, found)
        return self._groups[names]

    def refused(self, public: bool) -> dict[str, tuple[str, str]]:
        """Return state and reason of the entries that are shown without a place."""
        reasons = {}
        for name in set(self.rows["entry"]) - set(REFERENCES):
            if why := self.mark(name).disqualified:
                reasons[name] = (DISQUALIFIED, why)
            elif name in self.inconsistent and self.entries[name].kind == "entry":
                reasons[name] = (INCONSISTENT, self.inconsistent[name])
            elif public and self.from_checkpoints(name):
                reasons[name] = (SELF_REPORTED, "scored from checkpoints of its author: nothing was run")
            elif public and not self.trusted.get(name, True):
                reasons[name] = (UNTRUSTED, "timed units of a public board come from containers")
        if public and not any(self._cuts_groups(name) for name in self.entries.keys() - reasons.keys()):
            why = f"no baseline ran in a container here: bench baselines --track {self.references.track.name}"
            reasons = dict.fromkeys(set(self.rows["entry"]) - set(REFERENCES), (NO_BASELINES, why)) | reasons
        return reasons

    def _cuts_groups(self, name: str) -> bool:
        entry = self.entries[name]
        return entry.kind == "baseline" and entry.complete(self.references.track)

    def find_groups(self, public: bool) -> None:
        """Compute all groups that the track's board asks for."""
        everyone = frozenset(self.rows["entry"])
        for names in {everyone - set(self.refused(public)), everyone}:
            self.groups(names)

    def mark(self, name: str) -> Mark:
        """Return the mark of a row; an empty one where it has none."""
        return self.marks.get(name, Mark())

    def from_checkpoints(self, name: str) -> bool:
        """Return whether the models of a row were read from files."""
        return name in self.entries and self.entries[name].from_checkpoints

    def badge(self, name: str, kind: str) -> str:
        """Return the badge of a row."""
        return badge(kind, self.trusted.get(name, True), self.mark(name), self.from_checkpoints(name))


def read_results(references: References, instead: BoardEntry | None = None) -> Results:
    """Read a track's store once.

    ``instead``: a version that takes the place of the one that stands under its name.
    """
    entries_on_track = board_entries(references, instead)
    by_name = panel_results.shadow_results(references, entries_on_track)
    entries = {entry.name: entry for entry in entries_on_track}
    shipped = shipped_digests()
    trusted = {name: entry.trusted for name, entry in entries.items()}
    for name, result in by_name.items():
        trusted[name] = trusted.get(name, True) and (result.record.trusted or result.record.sha256 in shipped)
    return Results(
        references=references,
        entries=entries,
        rows=rows(references, entries_on_track),
        shadows=by_name,
        panel=panel_results.panel_results(references, entries_on_track, by_name),
        trusted=trusted,
        marks=marks(references, entries_on_track),
        inconsistent=_inconsistent(references, entries_on_track, by_name),
        searches=_searches(references, entries_on_track),
    )


def _inconsistent(
    references: References, entries: Sequence[BoardEntry], shadows: Mapping[str, ShadowReading]
) -> dict[str, str]:
    reasons = {name: reading.faults.inconsistent for name, reading in shadows.items() if reading.faults.inconsistent}
    for entry in entries:
        reading = shadows.get(entry.name)
        record, of_shadows = (None, ShadowFaults()) if reading is None else (reading.record, reading.faults)
        if found := consistency.faults(references, entry, record, of_shadows):
            reasons[entry.name] = next(iter(found.values()))
    return reasons


def _searches(references: References, entries: Sequence[BoardEntry]) -> dict[str, tuning.SearchChoice]:
    searches: dict[str, tuning.SearchChoice] = {}
    for entry in entries:
        choice = tuning.choice(entry.name, entry.sha256, references.track, references.store)
        parameters = next(iter(entry.records.values())).parameters
        if choice is not None and choice.parameters.items() <= parameters.items():
            searches[entry.name] = choice
    return searches


def board(references: References, public: bool = False, results: Results | None = None) -> pd.DataFrame:
    """Return the ranked board of a track; ``harness.report.columns`` says what each column holds.

    ``trusted``: every timed unit comes from a sandbox, and every shadow unit does or is of a source that ships. On a
    ``public`` board a row that is not trusted has the state ``untrusted sandbox``, no groups and no rank, and sets no
    cut points; it stands after the ranked ones. Without a trusted baseline no row of it has groups or a rank, and the
    state of the others is ``no baselines``. ``inconsistent``: why units of the row are unlike its timed ones, see
    ``harness.results.consistency``; empty when all is well. An entry with such a mark has it as its state, and no
    groups and no rank. ``results``: what has been read.
    """
    results = results or read_results(references)
    track, seed_rows = references.track, results.rows

    def ranking(names: set[str]) -> pd.DataFrame:
        found = [result for result in results.panel if result.entry in names]
        chosen, groups = seed_rows[seed_rows["entry"].isin(names)], results.groups(frozenset(names))
        return track_board(chosen, track.name, track.protocol.seeds, panel=found, groups=groups)

    everyone, refused = set(seed_rows["entry"]), results.refused(public)
    ranked = ranking(everyone - set(refused))
    if refused:
        ranked = _listed(ranked, ranking(everyone), refused)
    names = [str(name) for name in ranked["entry"]]
    ranked["trusted"] = [results.trusted.get(name, True) for name in names]
    if track.sealed:  # an entry may choose by failing which seeds are ok: their means are not for participants
        partial = (ranked["seeds_ok"] < ranked["seeds_total"]) & (ranked["kind"] != "reference")
        ranked.loc[partial, seed_columns()] = np.nan
    elif (unfit := ranked["state"] == NOT_APPLICABLE).any():
        ranked.loc[unfit, "reason"] = [_unfit(results.entries[str(name)]) for name in ranked.loc[unfit, "entry"]]
    ranked["verified"] = [results.mark(name).verified for name in names]
    ranked["inconsistent"] = [results.inconsistent.get(name, "") for name in names]
    late_gains = [results.searches[name].late_gain if name in results.searches else None for name in names]
    ranked["late_gain"] = pd.array(late_gains, dtype="Float64")
    badges = [results.badge(name, str(kind)) for name, kind in zip(names, ranked["kind"], strict=True)]
    ranked["badge"] = pd.array(badges, dtype="string")
    shown = {} if track.sealed else results.entries  # a sealed track shows nothing of a single unit
    timed = [list(shown[name].records.values()) if name in shown else [] for name in names]
    run_here = [[record for record in records if record.checkpoint is None] for records in timed]
    classes = [", ".join(sorted({hardware_class(record.environment) for record in records})) for records in run_here]
    dates = [max((record.date[:10] for record in records), default="") for records in timed]
    disturbed = [sum(bool(record.disturbed) for record in records) for records in timed]
    ranked["disturbed"] = pd.array(disturbed, dtype="Int64")
    ranked["hardware"] = pd.array(classes, dtype="string")
    ranked["date"] = pd.array(dates, dtype="string")
    return ranked


def overall(tracks: Sequence[Results], public: bool = False) -> pd.DataFrame:
    """Return the board over several tracks: the columns of ``scoring.board.overall_board``, ``badge`` and ``trusted``.

    Entries that stand on every track with the same source; on a ``public`` board also trusted everywhere.

    Raises:
        BenchError: the tracks have different access tiers.
    """
    one_tier([results.references.track for results in tracks])
    sources: dict[str, set[str]] = {}
    for results in tracks:
        for name, board_entry in results.entries.items():
            sources.setdefault(name, set()).add(board_entry.sha256)
    refused: set[str] = set().union(*(results.refused(public) for results in tracks))
    refused |= {name for name, digests in sources.items() if len(digests) > 1 and name not in REFERENCES}
    seed_rows = pd.concat([results.rows[~results.rows["entry"].isin(refused)] for results in tracks], ignore_index=True)
    found = [result for results in tracks for result in results.panel if result.entry not in refused]
    seeds = {results.references.track.name: results.references.track.protocol.seeds for results in tracks}
    groups = [results.groups(frozenset(results.rows["entry"]) - refused) for results in tracks]
    ranked = overall_board(seed_rows, seeds, panel=found, groups=groups)
    names = [str(name) for name in ranked["entry"]]
    ranked["trusted"] = [all(results.trusted.get(name, True) for results in tracks) for name in names]
    kinds = zip(names, ranked["kind"], strict=True)
    badges = [worst({results.badge(name, str(kind)) for results in tracks}) for name, kind in kinds]
    ranked["badge"] = pd.array(badges, dtype="string")
    return ranked


def one_tier(tracks: Sequence[Track]) -> None:
    """Refuse tracks that no board may have together.

    Raises:
        BenchError: the tracks have different access tiers.
    """
    tiers = {track.protocol.tier: track.name for track in tracks}
    if len(tiers) > 1:
        named = " and ".join(f"{name} ({tier})" for tier, name in sorted(tiers.items()))
        what = f"one board cannot rank over different access tiers: {named}"
        raise BenchError(what, "your command", "rank the tracks of each tier by themselves", USAGE)


def _listed(ranked: pd.DataFrame, whole: pd.DataFrame, refused: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Insert the refused rows of the whole board before the reference rows: their numbers, and no place."""
    refused_rows = whole[whole["entry"].isin(refused)].sort_values("entry").copy()
    for column in refused_rows.columns:
        if column.startswith(("position", "paper_rank", "group_", "keep_", "ahead")):
            # Missing values of the column's type.
            refused_rows[column] = refused_rows[column].where(np.zeros(len(refused_rows), bool))
    refused_rows[[*GROUPS, "F"]] = 0
    refused_rows["state"] = [refused[str(name)][0] for name in refused_rows["entry"]]
    refused_rows["reason"] = [refused[str(name)][1] for name in refused_rows["entry"]]
    references = ranked["state"] == "reference"
    return pd.concat([ranked[~references], refused_rows, ranked[references]], ignore_index=True)


def floor(references: References, entries: Sequence[BoardEntry] | None = None) -> float | None:
    """Return the seconds of a unit that changes nothing, the median over the seeds: a part of every run time.

    ``None`` where the identity entry (``original``) has not run.
    """
    entries = board_entries(references) if entries is None else entries
    records = [record for entry in entries if entry.name == "original" for record in entry.records.values()]
    seconds = [record.seconds for record in records if record.seconds is not None]
    return float(np.median(seconds)) if seconds else None


def null(references: References, entries: Sequence[BoardEntry] | None = None) -> dict[str, float]:
    """Return the null of every metric: of a second retrained model from other initial weights, mean over the seeds.

    ``ulira`` where shadow models are there: retrained against retrained; ``ulira_low``, ``ulira_high``: the null band.
    """
    of_models = metric_table.of_models(references.track.corruption)
    means = {each.name: scores.null_mean(references, each.name) for each in of_models if each.null}
    numbers = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    retrained = panel_results.shadow_results(references, entries).get(shadows.RETRAIN)
    if retrained is not None and retrained.scores is not None:
        low, high = null_band(retrained.scores.pair_accuracies)
        numbers |= {"ulira": retrained.scores.attacks["ulira"]["accuracy"], "ulira_low": low, "ulira_high": high}
    return numbers


def _unfit(entry: BoardEntry) -> str:
    """Return the sentence by which a method says why it cannot work on the network."""
    return next(record.reason for record in entry.records.values() if record.status == "not-applicable")


def _row(
    track: Track, name: str, kind: str, seed: int, status: str, seed_scores: Scores | None, record: Record | None
) -> dict[str, object]:
    return {
        "entry": name,
        "kind": kind,
        "track": track.name,
        "seed": seed,
        "status": status,
        **{metric.name: scores.value(metric, seed_scores, record) for metric in metric_table.per_seed()},
        "ra_retrain": None if seed_scores is None else seed_scores.ra_retrain,
        "collapse": "" if seed_scores is None else seed_scores.collapse,
        "classes": track.data.classes,
    }
