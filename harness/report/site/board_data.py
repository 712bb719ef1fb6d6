"""From what tracks' stores say to what is on the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report.board_notes import missing_baselines, separated_neighbours
from unlearn_bench.harness.report.cells import NONE, group, unconverged
from unlearn_bench.harness.report.methods import Method, method
from unlearn_bench.harness.report.site.page_data import LETTERS, Board, Number, Part, Row, number, plain, position, slug
from unlearn_bench.harness.report.track_notes import access, competition, forgetting, pretraining
from unlearn_bench.harness.report.verdicts import headline, headline_over, like_original, verdict
from unlearn_bench.harness.report.wording import counted
from unlearn_bench.harness.results import board, scores
from unlearn_bench.harness.results.badges import UNTRUSTED
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.results.board_entries import shipped_kinds
from unlearn_bench.harness.results.track_boards import architecture, data_set
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.parallel import side_by_side
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import entry_sources
from unlearn_bench.scoring.group_membership import FORGETTING
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, grouped, ranked
from unlearn_bench.scoring.umia import sampling_error

OVERALL, ARCHITECTURES, DATA_SETS, TRACKS = "Overall", "By architecture", "By data set", "Tracks"
Scored = dict[str, list[scores.Scores]]
"""Entry → scores of its finished seeds on one track, in the order of the seeds."""


def read(
    tracks: Sequence[Track], store: Store, public: bool, step: Callable[[Track], None] = lambda track: None
) -> list[Results]:
    """Read every track of the store, with scores and groups; ``step`` gets each track that has been read."""
    shipped_kinds()  # once, not in every copy of this process

    def read_track(track: Track) -> Results:
        track_results = board.read_results(References(track, store))
        track_results.find_groups(public)
        scored(track_results)
        return track_results

    results = []
    for track_results in side_by_side(read_track, tracks):
        track = track_results.references.track
        results.append(replace(track_results, references=References(track, store)))
        _methods(results[-1])  # found once in the common store, not in every copy of this process
        step(track)
    return results


def scored(results: Results) -> Scored:
    """Return the scores of all seed units of a track by entry."""
    by_entry: Scored = {}
    for name, board_entry in results.entries.items():
        by_seed = [results.record_scores(record) for _, record in sorted(board_entry.records.items())]
        by_entry[name] = [seed_scores for seed_scores in by_seed if seed_scores is not None]
    return by_entry


def boards(tracks: Sequence[Results], public: bool) -> tuple[list[Board], dict[str, pd.DataFrame]]:
    """Return all boards, the overall one first, and the tables of the tracks' boards by name of the track."""
    names = [results.references.track.name for results in tracks]
    ranked = side_by_side(lambda results: board.board(results.references, public, results), tracks)
    tables = dict(zip(names, ranked, strict=True))
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for name, table in tables.items():
        for row in table.to_dict("records"):
            for metric in grouped():
                if (letter := group(row, metric.name)) in LETTERS:
                    cells.setdefault(str(row["entry"]), {})[(name, metric.name)] = letter
    several = []
    for tier in sorted(set(map(_tier, tracks)), key=lambda tier: (tier != "full", tier)):  # no board mixes them
        of_tier = [results for results in tracks if _tier(results) == tier]
        several += [(OVERALL, "All tracks", of_tier)] if len(of_tier) > 1 else []
        for family, key in ((ARCHITECTURES, architecture), (DATA_SETS, data_set)):
            for name in sorted({key(results.references.track) for results in of_tier}):
                members = [results for results in of_tier if key(results.references.track) == name]
                if 1 < len(members) < len(of_tier):
                    several.append((family, name, members))
    several.sort(key=lambda arguments: (OVERALL, ARCHITECTURES, DATA_SETS).index(arguments[0]))
    work: list[Callable[[], Board]] = [partial(_several, *arguments, tables, cells, public) for arguments in several]
    work += [partial(_track, results, tables[results.references.track.name], cells) for results in tracks]
    return list(side_by_side(lambda board: board(), work)), tables


def _tier(results: Results) -> str:
    return results.references.track.protocol.tier


def _track(results: Results, table: pd.DataFrame, cells: Mapping[str, Mapping[tuple[str, str], str]]) -> Board:
    track = results.references.track
    seed_scores = {} if track.sealed else scored(results)
    methods = _methods(results)
    rows = []
    for values in table.to_dict("records"):
        name = str(values["entry"])
        seeds = {
            metric.name: tuple(
                each.metrics[metric.name] for each in seed_scores.get(name, ()) if metric.name in each.metrics
            )
            for metric in _with_spread()
        }
        track_cells = {key: letter for key, letter in cells.get(name, {}).items() if key[0] == track.name}
        linked = f"entries/{slug(track.name)}/{slug(name)}.html" if name in results.entries else ""
        rows.append(row(values, linked, track_cells, seeds, methods.get(name)))
    entries = list(results.entries.values())
    null, floor = board.null(results.references, entries), board.floor(results.references, entries)
    splits = track.splits
    size = f"{track.data.image_size} pixels, {track.data.classes} classes"
    parts = f"R {splits.retain:,} · F {splits.forget:,} · V {splits.val:,} · T {splits.test:,}"
    tie = sampling_error(splits.forget, splits.test, track.protocol.seeds if splits.rule == "per-seed" else 1)
    facts = [
        ("Data", f"{data_set(track)}, {size}"),
        ("Model", architecture(track)),
        ("Forgets", forgetting(track)),
        ("Examples", parts),
        *([("Access", tier)] if (tier := access(track)) else []),
        ("Model seeds", str(track.protocol.seeds)),
        *([("Reference models", provenance)] if (provenance := results.references.provenance) else []),
        ("Null", _null_line(null)),
        ("Ties", f"the choice of F and T moves the mean Indisc of an entry by {tie:.3f}"),
    ]
    if "ulira" in null:
        band = f"{null['ulira_low']:.3f} to {null['ulira_high']:.3f}: 95 % of perfect unlearners"
        facts.append(("U-LiRA's null band", band))
    if floor is not None:
        facts.append(("Overhead floor", f"{floor:.2f} s of every run time: the entry that changes nothing"))
    facts += [
        (f"{kind} digest", digest[:16])
        for kind, digest in (
            ("Reference", track.reference_digest),
            ("Protocol", track.protocol_digest),
            ("Analysis", track.analysis_digest),
        )
    ]
    names = {name: described.name for name, described in methods.items()}
    return Board(
        slug=slug(track.name),
        title=plain(track.analysis.title or track.name),
        about=f"Track {plain(track.name)}" + (", sealed: numbers over all seeds only" if track.sealed else ""),
        family=TRACKS,
        tracks=(track.name,),
        rows=tuple(rows),
        facts=tuple((name, plain(value)) for name, value in facts),
        null=null,
        notes=_notes(table, track),
        corruption=track.corruption,
        headline=plain(headline(table, names)),
        scales=_scales(table, null),
        competition=competition(track),
    )


def _methods(results: Results) -> dict[str, Method]:
    """Return what the entries of a track are called; of a sealed track only the shipped ones have more than a name."""
    described = {}
    for name, board_entry in results.entries.items():
        if results.references.track.sealed and board_entry.kind == "entry":
            continue
        entry = entry_sources.find(results.references.store, next(iter(board_entry.records.values())))
        if entry is not None:
            described[name] = method(entry)
    return described


def _scales(table: pd.DataFrame, null: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    scales = {FORGETTING: (0.0, 1.0)}
    for values in table[table["entry"] == "original"].to_dict("records"):
        for metric in by_weight():
            original = values.get(metric.name)
            if metric.name in null and original is not None and not pd.isna(original) and original != null[metric.name]:
                scales.setdefault(metric.name, (float(null[metric.name]), float(original)))
    return scales


def _several(
    family: str,
    name: str,
    members: Sequence[Results],
    tables: Mapping[str, pd.DataFrame],
    cells: Mapping[str, Mapping[tuple[str, str], str]],
    public: bool,
) -> Board:
    names = tuple(results.references.track.name for results in members)
    table, methods = board.overall(members, public), _methods(members[0])
    rows = []
    for values in table.to_dict("records"):
        entry = str(values["entry"])
        entry_cells = {key: letter for key, letter in cells.get(entry, {}).items() if key[0] in names}
        counts = {
            metric.name: tuple(int(values[f"{letter}_{metric.name}"]) for letter in LETTERS) for metric in ranked()
        }
        first_page = f"entries/{slug(names[0])}/{slug(entry)}.html"  # which links to the entry's other tracks
        linked = first_page if entry in members[0].entries else ""
        described = methods.get(entry)
        rows.append(row(values, linked, entry_cells, {}, described, {} if values["state"] == "reference" else counts))
    absent = {str(entry) for track in names for entry in tables[track]["entry"]} - {r.name for r in rows}
    without = counted(len(absent), "entry", "entries")
    notes = (f"Not here, since they have not run all {len(names)} tracks with one source: {without}.",)
    prefix = {OVERALL: "all", ARCHITECTURES: f"architecture-{name}", DATA_SETS: f"data-{name}"}[family]
    tier = _tier(members[0])
    return Board(
        slug=slug(prefix if tier == "full" else f"{prefix}-{tier.replace(', ', '-').replace(' ', '-')}"),
        title=plain(name if tier == "full" else f"{name} ({tier})"),
        about=f"{len(names)} tracks: {', '.join(map(plain, names))}",
        family=family,
        tracks=names,
        rows=tuple(rows),
        notes=notes if absent else (),
        headline=plain(headline_over(table, {each: found.name for each, found in methods.items()}, len(names))),
    )


def row(
    values: Mapping[Any, Any],
    link: str,
    cells: Mapping[tuple[str, str], str],
    seeds: Mapping[str, tuple[float, ...]],
    described: Method | None = None,
    counts: Mapping[str, tuple[int, ...]] | None = None,
) -> Row:
    """Make a row of a page from a row of a board; ``described`` is what is known of its method."""
    part: Part = (
        "reference" if values["state"] == "reference" else "unranked" if pd.isna(values["position"]) else "ranked"
    )
    numbers: dict[str, Number] = {}
    for metric in by_weight():
        mean = number(values, metric.name) if metric.ranked or "board page" in metric.shown else None
        if mean is not None:
            numbers[metric.name] = mean
    spread = tuple(float(values.get(f"{metric.name}_sd", np.nan)) for metric in _with_spread())
    found = described or Method(str(values["entry"]))
    groups = {each.name: letter for each in grouped() if (letter := group(values, each.name)) != NONE}
    return Row(
        name=plain(values["entry"]),
        slug=slug(str(values["entry"])),
        link=link,
        part=part,
        state=str(values["state"]),
        reason=plain(values.get("reason", "")),
        badge=str(values["badge"]),
        position=position(values),
        method=Method(*(plain(each) for each in (found.name, found.year, found.paper, found.work))),
        verdict=plain(verdict(values)) if counts is None else "",
        leaks=counts is None and like_original(values),
        values=numbers,
        groups=groups if counts is None else {},
        counts=counts or {},  # type: ignore[arg-type]
        spread=None if not spread or np.isnan(spread).any() else spread,
        seeds_ok=int(values.get("seeds_ok", 0)),
        seeds_total=int(values.get("seeds_total", 0)),
        inconsistent=plain(values.get("inconsistent", "")),
        provisional=plain(values.get("provisional", "")),
        unconverged=unconverged(values),
        attack="" if pd.isna(attack := values.get("forgetting_attack")) else plain(attack),
        hardware=plain(values.get("hardware", "")),
        date=plain(values.get("date", "")),
        cells=cells,
        seeds=seeds,
    )


def _with_spread() -> list[Metric]:
    return [metric for metric in by_weight() if metric.spread]


def _null_line(null: Mapping[str, float]) -> str:
    metrics = [metric for metric in grouped() if metric.name in null]
    if not metrics:
        return "none, for want of a second retrained model"
    numbers = ", ".join(f"{metric.title} {null[metric.name]:.{metric.digits}f}" for metric in metrics)
    return f"{numbers}: a second retrained model"


def _notes(table: pd.DataFrame, track: Track) -> tuple[str, ...]:
    lines = missing_baselines(table, track.name)
    if (table["badge"] == UNTRUSTED).any():
        lines.append("rows with the badge “untrusted sandbox” ran without a container")
    lines += [*separated_neighbours(table), *pretraining(track)]
    return tuple(plain(f"{line[0].upper()}{line[1:]}.") for line in lines)
