"""Entry pages: everything that is known of one entry on one track, and on a sealed track what may be known."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.report.cells import late_gain
from unlearn_bench.harness.report.site.page_data import Compared, EntryPage, Row, Seed, number, plain, slug
from unlearn_bench.harness.results import attack_panel, curves, probed, relearning
from unlearn_bench.harness.results.board import REFERENCES, Results
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.results.relearning import RelearningCurve
from unlearn_bench.harness.results.scores import Scores, value
from unlearn_bench.harness.units import disclosure, entry_sources, tuning
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.search_space import in_words
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import shown

LOG = 4000
"""Characters of a log that a page shows."""


def references(results: Results) -> dict[str, curves.Curves]:
    """Curves of the original and the retrained models; empty where no entry's logits are stored."""
    if results.references.track.sealed or not any(_has_logits(board_entry) for board_entry in results.entries.values()):
        return {}
    kinds: tuple[RoleKind, ...] = ("original", "retrained")
    by_kind = {str(kind): curves.reference_curves(results.references, kind) for kind in kinds}
    return {kind: kind_curves for kind, kind_curves in by_kind.items() if kind_curves is not None}


def _has_logits(board_entry: BoardEntry) -> bool:
    return any(record.logits is not None for record in board_entry.records.values())


def page(
    results: Results,
    name: str,
    row: Row,
    values: Mapping[Any, Any],
    beside: Mapping[str, Mapping[Any, Any]],
    reference_curves: Mapping[str, curves.Curves],
) -> EntryPage:
    """Return what is on the page of an entry that stands on the track's board.

    Args:
        results: of the track.
        name: of the entry.
        row: of the entry, as on the board's page.
        values: the same as in the table of the board.
        beside: ``retrain``, ``null`` and ``original``, as in the table of the board.
        reference_curves: as :func:`references` returns them.
    """
    board_entry = results.entries[name]
    track, store = results.references.track, results.references.store
    records = [record for _, record in sorted(board_entry.records.items())]
    statuses = disclosure.tally(records)
    complete = statuses == {"ok": track.protocol.seeds}
    public = EntryPage(
        slug=slug(board_entry.name),
        row=row,
        track=plain(track.name),
        track_title=plain(track.analysis.title or track.name),
        board=slug(track.name),
        kind=board_entry.kind,
        title=row.name,
        sealed=track.sealed is not None,
        statuses=statuses,
        attack_numbers=_attack_numbers(results, board_entry) if complete or not track.sealed else (),
        shares=tuple(results.shares(name)) if complete or not track.sealed else (),
        numbers=_numbers(values, beside, track.corruption),
        corruption=track.corruption,
    )
    if track.sealed:
        return public
    entry = entry_sources.find(store, records[0])
    entry_curves = None if board_entry.kind == "reference" else curves.entry_curves(results.references, records)
    choice = tuning.choice(board_entry.name, records[0].sha256, track, store)
    metadata = {} if entry is None else {plain(k): plain(v) for k, v in entry.metadata.items() if k != "kind"}
    return replace(
        public,
        title=plain(board_entry.name if entry is None else entry.title),
        summary="" if entry is None else plain(entry.summary),
        metadata=metadata,
        digests={
            "source (SHA-256)": records[0].sha256,
            "source and parameters": records[0].entry,
            "reference": records[0].reference_digest,
            "protocol": records[0].protocol_digest,
            "analysis": track.analysis_digest,
        },
        parameters=_parameters(records[0], entry, track.analysis.max_epochs),
        search=_search(choice),
        seeds=tuple(_seed(record, results.record_scores(record), track.corruption) for record in records),
        relearning=_relearning(results, board_entry),
        curves={} if entry_curves is None else {"own": entry_curves, **reference_curves},
        shadows=_shadows(results, board_entry.name),
        environment=_environment(records),
        log=_log(records),
        source="" if entry is None else plain(entry.source.decode("utf-8", "replace")),
        notes=() if entry is None else tuple(map(plain, entry.notes)),
        command=_command(board_entry, records[0], entry),
    )


def _attack_numbers(
    results: Results, board_entry: BoardEntry
) -> tuple[tuple[str, str, float, float | None, float], ...]:
    if board_entry.name in REFERENCES:
        return ()
    table = attack_panel.attack_numbers(results.references, board_entry, results)
    return tuple((each.attack, each.number, each.value, each.null, each.original) for each in table)


def _numbers(
    values: Mapping[Any, Any], beside: Mapping[str, Mapping[Any, Any]], corruption: str
) -> tuple[Compared, ...]:
    means = [(metric, number(values, metric.name)) for metric in shown("entry page", corruption)]
    return tuple(
        Compared(metric, mean, *(_mean(beside[kind], metric) for kind in ("retrain", "null", "original")))
        for metric, mean in means
        if mean is not None
    )


def _mean(values: Mapping[Any, Any], metric: Metric) -> float | None:
    mean = number(values, metric.name)
    return None if mean is None else mean.mean


def _relearning(results: Results, board_entry: BoardEntry) -> dict[str, RelearningCurve]:
    probed_models = probed.entry_results(results.references, board_entry).values()
    if not any(relearning.PROBE in found for found in probed_models):
        return {}
    curves_by_row = relearning.curves(results.references, {board_entry.name: board_entry})
    return curves_by_row if board_entry.name in curves_by_row else {}


def _parameters(record: Record, entry: Entry | None, max_epochs: int) -> tuple[tuple[str, str, str, str], ...]:
    space = {} if entry is None else entry.search_space
    defaults = {} if entry is None else entry.defaults
    return tuple(
        (
            plain(name),
            plain(repr(value)),
            plain(repr(defaults[name])) if name in defaults else "–",
            plain(in_words(space[name], max_epochs)) if name in space else "not searched",
        )
        for name, value in sorted(record.parameters.items())
    )


def _search(choice: tuning.SearchChoice | None) -> dict[str, str]:
    if choice is None:
        return {}
    return {
        "budget": f"{choice.trials} trials × {len(choice.seeds)} units, {choice.cpu_seconds:.0f} CPU s",
        "objective": plain(choice.objective),
        "loss of the choice": f"{choice.loss:.4f} (trial {choice.trial})",
        **({"convergence": gain} if (gain := late_gain(choice)) else {}),
    }


def _seed(record: Record, score: Scores | None, corruption: str) -> Seed:
    numbers = {metric.name: value(metric, score, record) for metric in shown("seeds page", corruption)}
    numbers |= {"seconds": record.seconds, "cpu_seconds": record.cpu_seconds}
    numbers["peak_mib"] = None if record.peak_memory is None else record.peak_memory / 2**20
    said = (*([f"disturbed: {record.disturbed}"] if record.disturbed else []), *record.warnings)
    warnings = tuple(plain(line, LOG) for line in said)
    return Seed(record.seed, record.status, numbers, plain(record.reason, LOG), warnings)


def _shadows(results: Results, name: str) -> str:
    shadow = results.shadows[name].record if name in results.shadows else None
    if shadow is None:
        return ""
    total = results.references.track.protocol.lira_splits // 2
    failure = f": {shadow.failed}: {shadow.reason}" if shadow.failed else ""
    early = f", told to stop at ± {shadow.narrow:g}" if shadow.narrow else ""
    backend = shadow.environment.get("backend", "unknown")
    return plain(f"{shadow.status}{failure}, {shadow.pairs} of {total} pairs of shadow splits{early}, {backend}")


def _environment(records: list[Record]) -> dict[str, str]:
    values_by_name: dict[str, set[str]] = {}
    for record in records:
        for name, word in record.environment.items():
            values_by_name.setdefault(plain(name), set()).add(plain(word))
    return {name: "; ".join(sorted(values)) for name, values in sorted(values_by_name.items())}


def _log(records: list[Record]) -> str:
    """Return the end of the log of the first seed that failed and printed something, else of the first that did."""
    printing = [record for record in records if record.log.strip()]
    failed = [record for record in printing if record.status != "ok"]
    first = next(iter([*failed, *printing]), None)
    return "" if first is None else f"seed {first.seed}:\n{plain(first.log, LOG)}"


def _command(board_entry: BoardEntry, record: Record, entry: Entry | None) -> str:
    backend = str(record.environment.get("backend", "auto"))
    where = ["--track", record.track, "--sandbox", backend]
    if " " in str(record.environment.get("device", "")):
        where += ["--gpu", "0"]
    if board_entry.kind != "entry":
        return plain(shlex.join(["bench", "baselines", board_entry.name, *where]))
    defaults = {} if entry is None else entry.defaults
    changed = [f"{key}={value!r}" for key, value in record.parameters.items() if defaults.get(key) != value]
    options = [word for setting in changed for word in ("--set", setting)]
    return plain(shlex.join(["bench", "submit", f"{board_entry.name}.py", *where, *options]))
