"""A row of a board as an experiment tracker keeps it: parameters, metrics, values per seed, tags and files."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pandas as pd

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.report import board_documents, entry_text, terminal_board
from unlearn_bench.harness.report.columns import columns
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.entry_details import EntryDetails, PublicDetails
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.scoring import metric_table

PREFIX = "unlearn_bench"
"""What the names of facts that are no hyper-parameters begin with."""
RUN_DIGESTS = ("reference_digest", "protocol_digest")
"""Of a track: what a unit's outputs depend on. The analysis only reads them."""


@dataclass(frozen=True)
class TrackedRun:
    """A row of a board, with the names and types that every tracker allows."""

    key: str
    """Digest of the entry's version (name, source and parameters) and of how it ran on the track; it names the run."""
    name: str
    track: str
    kind: str
    parameters: Mapping[str, Any]
    """Hyper-parameters by name; empty on a sealed track."""
    facts: Mapping[str, str]
    """Track and digests: they stand among the parameters."""
    metrics: Mapping[str, float]
    """Finite values by column of the board, ``METRIC_null``, and ``attacks/ATTACK/NUMBER`` of the panel."""
    seeds: Mapping[int, Mapping[str, float]]
    """Metrics by model seed; empty on a sealed track."""
    tags: Mapping[str, str]
    description: str
    """The verdict on the row."""
    failed: bool
    started: datetime.datetime | None
    """When the first unit ended; ``None`` on a sealed track."""
    ended: datetime.datetime | None
    """When the last unit ended."""
    files: Mapping[str, bytes]
    """The entry's source where it is kept, ``show.json`` and ``row.csv``."""

    @property
    def content(self) -> str:
        """Digest of everything that a tracker is given."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def tracked_run(
    details: EntryDetails | PublicDetails, null: Mapping[str, float], seed_rows: pd.DataFrame, source: Entry | None
) -> TrackedRun:
    """Return the run that trackers are given of an entry.

    Args:
        details: of the entry; of a sealed track's public ones no hyper-parameter, seed or source is used.
        null: every metric between two retrained models.
        seed_rows: rows of the entry in the form of ``scoring.seed_rows``; it must stand on the board.
        source: of the entry, where it is kept.
    """
    entry, track = details.board_entry, details.track
    rows = details.board[details.board["entry"] == entry.name]
    row, public = rows.iloc[0], isinstance(details, PublicDetails)
    digests = {f"{name}_digest": getattr(track, f"{name}_digest") for name in ("reference", "protocol", "analysis")}
    ran_as = {name: digests[name] for name in RUN_DIGESTS}
    identity = {"track": track.name, "name": entry.name, "entry": entry.entry_id, **ran_as}
    command = f"bench show {entry.name} --track {track.name}"
    verdict = terminal_board.verdict(details.board, entry.name)
    tags = {**_texts(row), "verdict": verdict, "command": command}
    tags |= {"version": version("unlearn-bench"), "scores_version": str(scores.VERSION)}
    records = () if isinstance(details, PublicDetails) else details.records
    times = [datetime.datetime.fromisoformat(record.date) for record in records]
    return TrackedRun(
        key=digest(identity),
        name=entry.name,
        track=track.name,
        kind=entry.kind,
        parameters=next((dict(record.parameters) for record in records), {}),
        facts={"track": track.name, **digests, **({} if public else {"entry_sha256": entry.sha256})},
        metrics=_metrics(row, null, details),
        seeds={} if public else _seeds(seed_rows[seed_rows["entry"] == entry.name]),
        tags=tags,
        description=f"{verdict}\n\nFrom `{command}`.",
        failed=row["state"] == "failed",
        started=min(times, default=None),
        ended=max(times, default=None),
        files={
            **({} if public or source is None else _sources(source)),
            "show.json": json.dumps(_document(details), indent=1).encode(),
            "row.csv": board_documents.csv(rows).encode(),
        },
    )


def _document(details: EntryDetails | PublicDetails) -> dict[str, Any]:
    return entry_text.public_document(details) if isinstance(details, PublicDetails) else entry_text.document(details)


def _texts(row: pd.Series[Any]) -> dict[str, str]:
    """Return what a row says in words: its texts that are not empty, its truth values, and its disturbed units."""
    by_type = {name: dtype for name, (dtype, _) in columns().items()}
    texts = {name: str(row[name]) for name, dtype in by_type.items() if dtype == "string" and not pd.isna(row[name])}
    flags = {name: str(bool(row[name])).lower() for name, dtype in by_type.items() if dtype == "boolean"}
    return {**{name: text for name, text in texts.items() if text}, **flags, "disturbed": str(row["disturbed"])}


def _metrics(row: pd.Series[Any], null: Mapping[str, float], details: EntryDetails | PublicDetails) -> dict[str, float]:
    numeric = [name for name, (dtype, _) in columns().items() if dtype in ("Float64", "Int64")]
    numbers = {name: row[name] for name in numeric if name != "disturbed"}
    numbers |= {f"{name}_null": value for name, value in null.items()}
    for attack in details.panel:
        name = f"attacks/{attack.attack}/{attack.number}"
        numbers |= {name: attack.value, f"{name}_original": attack.original}
        numbers |= {} if attack.null is None else {f"{name}_null": attack.null}
    return _finite(numbers)


def _seeds(rows: pd.DataFrame) -> dict[int, dict[str, float]]:
    names = [metric.name for metric in metric_table.per_seed()]
    return {int(row["seed"]): _finite({name: row[name] for name in names}) for _, row in rows.iterrows()}


def _finite(numbers: Mapping[str, Any]) -> dict[str, float]:
    known = {name: float(value) for name, value in numbers.items() if not pd.isna(value)}
    return {name: value for name, value in known.items() if math.isfinite(value)}


def _sources(source: Entry) -> dict[str, bytes]:
    """Return the files of an entry: one under its name, or those of a package in a folder of its name."""
    if source.is_package:
        return {f"{source.name}/{path}": content for path, content in source.files.items()}
    return {f"{source.name}.py": source.source}
