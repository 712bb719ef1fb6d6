"""Everything about one entry, as text for a terminal and as a JSON document."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterator
from typing import Any

from unlearn_bench.harness.report import attack_text, terminal_board, unit_table
from unlearn_bench.harness.report.cells import late_gain
from unlearn_bench.harness.results.entry_details import EntryDetails, PublicDetails
from unlearn_bench.harness.results.review import Mark
from unlearn_bench.harness.support.text import visible
from unlearn_bench.harness.units.records import Record, ShadowRecord


def public_text(details: PublicDetails) -> str:
    """Return what participants may see of an entry on a sealed track."""
    board_entry = details.board_entry
    units = ", ".join(f"{count} {status}" for status, count in details.statuses.items())
    lines = [f"{board_entry.name} on {details.track.name} ({board_entry.kind}, sealed): {units}"]
    lines.append(terminal_board.verdict(details.board, board_entry.name))
    return visible("\n".join([*lines, attack_text.panel(details.panel)] if details.panel else lines))


def public_document(details: PublicDetails) -> dict[str, Any]:
    """Return what participants may see of an entry on a sealed track."""
    return {
        "entry": details.board_entry.name,
        "kind": details.board_entry.kind,
        "row": _row(details),
        "panel": [dataclasses.asdict(finding) for finding in details.panel],
        "statuses": details.statuses,
    }


def document(details: EntryDetails) -> dict[str, Any]:
    """Return everything about an entry."""
    units = [
        {**dataclasses.asdict(record), "scores": None if scores is None else dataclasses.asdict(scores.stored())}
        for record, scores in zip(details.records, details.scores, strict=True)
    ]
    return {
        "entry": details.board_entry.name,
        "kind": details.board_entry.kind,
        "row": _row(details),
        "panel": [dataclasses.asdict(finding) for finding in details.panel],
        "inconsistent": details.inconsistent,
        "probe_faults": list(details.probe_faults),
        "search": None if details.search is None else dataclasses.asdict(details.search),
        "digests": details.digests,
        "marks": None if details.mark is None else dataclasses.asdict(details.mark),
        "shadows": None if details.shadow is None else dataclasses.asdict(details.shadow),
        "units": units,
    }


def text(details: EntryDetails) -> str:
    """Return everything about an entry."""
    return visible("\n".join([*_head(details), *_units(details), *_attacks(details)]))


def _row(details: EntryDetails | PublicDetails) -> dict[str, Any] | None:
    row = details.board[details.board["entry"] == details.board_entry.name]
    rows: list[dict[str, Any]] = json.loads(row.to_json(orient="records"))
    return rows[0] if rows else None


def _head(details: EntryDetails) -> Iterator[str]:
    """Yield place, parameters, digests, search and environment."""
    board_entry, first = details.board_entry, details.records[0]
    yield f"{board_entry.name} on {details.track.name} ({board_entry.kind}, sha256 {first.sha256[:16]})"
    yield terminal_board.verdict(details.board, board_entry.name)
    yield f"version      {board_entry.name}@{board_entry.version}"
    yield "parameters   " + (", ".join(f"{k}={v!r}" for k, v in first.parameters.items()) or "none")
    yield "digests      " + ", ".join(f"{name} {digest[:16]}" for name, digest in details.digests.items())
    if (search := details.search) is None:
        yield "search       none: defaults, or what --set said"
    else:
        yield (
            f"search       {search.trials} trials × {len(search.seeds)} units, "
            f"{search.cpu_seconds:.0f} CPU s, objective {search.objective}, loss {search.loss:.3f}"
            + (f"; {gain}" if (gain := late_gain(search)) else "")
        )
    for name, value in sorted({k: v for record in details.records for k, v in record.environment.items()}.items()):
        yield f"{name:<12} {value}"


def _said(record: Record) -> list[str]:
    """Return what there is to say of a unit beside its numbers."""
    return [
        *([record.reason] if record.reason else []),
        *([f"disturbed: {record.disturbed}"] if record.disturbed else []),
        *record.warnings,
    ]


def _units(details: EntryDetails) -> Iterator[str]:
    """Yield a line per unit with what went wrong there, and the spread of their times."""
    records = details.records
    distances = any(record.weight_distance is not None for record in records)
    corruption = details.track.corruption
    yield unit_table.head(distances, corruption)
    for record, scores in zip(records, details.scores, strict=True):
        yield unit_table.line(record, scores, distances, corruption)
        log = record.log.splitlines() if details.track.sealed and record.status != "ok" else []
        yield from (f"     {line}" for line in _said(record) + log)
    yield from _spread("wall", [record.seconds for record in records])
    yield from _spread("CPU", [record.cpu_seconds for record in records])
    if details.weight_null is not None:
        distance = f"of a second retrained model {details.weight_null:.3f}"
        yield f"{'‖ΔW‖':<12} distance of the weights to Retrain's; {distance}"


def _spread(title: str, values: list[float | None]) -> Iterator[str]:
    seconds = [value for value in values if value is not None]
    if seconds:
        median, low, high = statistics.median(seconds), min(seconds), max(seconds)
        yield f"{title + ' seconds':<12} median {median:.2f}, {low:.2f} to {high:.2f}"


def _attacks(details: EntryDetails) -> Iterator[str]:
    """Yield shadow units, marks, and what every attack reads."""
    if details.shadow is not None:
        yield _shadows(details.shadow, details.track.protocol.lira_splits // 2)
    mark = details.mark or Mark()
    for rerun in mark.reruns:
        yield f"run again    seed {rerun.seed} on {rerun.date}, {rerun.environment.get('backend')}: {rerun.verdict}"
    if mark.disqualified:
        yield f"disqualified {mark.disqualified}"
    yield from (f"inconsistent {attack}: {why}" for attack, why in details.inconsistent.items())
    yield from (f"probe failed {fault}" for fault in details.probe_faults)
    if details.panel:
        yield attack_text.panel(details.panel)


def _shadows(shadow: ShadowRecord, total: int) -> str:
    stop = f", told to stop at ± {shadow.narrow:g}" if shadow.narrow else ""
    failure = f": {shadow.failed}: {shadow.reason}" if shadow.failed else ""
    pairs = f"{shadow.pairs} of {total} pairs of shadow splits"
    return f"U-LiRA       {shadow.status}{failure}, {pairs}{stop}, {shadow.environment.get('backend')}"
