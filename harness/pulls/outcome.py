"""The result of a pull request, from the records of its entries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlearn_bench.harness.pulls.provenance import Harness
from unlearn_bench.harness.pulls.pull_request import PullRequest, Submission
from unlearn_bench.harness.pulls.result import (
    CELL,
    DIFFERING,
    FORMAT,
    EntryResult,
    HarnessSource,
    PullResult,
    ScoredTrack,
    SeedResult,
    ShadowResult,
)
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report import terminal_board
from unlearn_bench.harness.results import board, scores
from unlearn_bench.harness.results.board_entries import versions
from unlearn_bench.harness.support.errors import EXIT_CODES
from unlearn_bench.harness.units import disclosure, yardstick_units
from unlearn_bench.harness.units.blame import BLAME
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.sandbox.text import one_line
from unlearn_bench.scoring.seed_rows import DOES_NOT_APPLY, NOT_APPLICABLE

NEIGHBOURS = 2
"""Rows shown above an entry, and as many below it."""


@dataclass(frozen=True)
class Standing:
    """Where an entry stands on a board; empty if it is not on it."""

    verdict: str = ""
    neighbours: tuple[dict[str, Any], ...] = ()
    """Rows around the entry's own, best first."""


def pull_result(
    references: References,
    pull: PullRequest,
    harness: Harness,
    *,
    started: str,
    smoke: bool,
    entries: Sequence[EntryResult] = (),
) -> PullResult:
    """Return the result of a pull request whose scoring ``started`` at a time (ISO 8601).

    Its exit code is that of the first entry that failed, or else of the first that does not apply to the network; an
    entry that was not run because it is invalid counts as failed.
    """
    track = references.track
    failed = [entry for entry in entries if entry.status not in ("ok", "not-applicable")]
    ended = [*failed, *(entry for entry in entries if entry.status == "not-applicable")]
    broken = pull.refusals or (pull.invalid and not failed)
    exit_code = EXIT_CODES["invalid"] if broken else ended[0].exit_code if ended else 0
    return PullResult(
        format=FORMAT,
        kind="smoke" if smoke else "score",
        date=started,
        base=pull.base,
        head=pull.head,
        merge_base=pull.merge_base,
        harness=HarnessSource(harness.version, harness.digest, harness.matches, harness.differing[:DIFFERING]),
        track=ScoredTrack(
            name=track.name,
            title=track.analysis.title,
            reference_digest=track.reference_digest,
            protocol_digest=track.protocol_digest,
            analysis_digest=track.analysis_digest,
            sealed=bool(track.sealed),
        ),
        status="refused" if pull.refusals else "failed" if failed or pull.invalid else "ok",
        exit_code=exit_code,
        refusals=pull.refusals,
        entries=tuple(entries),
        invalid=pull.invalid,
    )


def entry_result(
    references: References, submission: Submission, records: Sequence[Record], shadow: ShadowRecord | None
) -> EntryResult:
    """Return the result of one entry."""
    ended: list[Record | ShadowRecord] = [*records, *([shadow] if shadow else [])]
    failed = next((record for record in ended if record.status != "ok"), None)
    whose, remedy = ("", "") if failed is None else BLAME[failed.status]
    entry, sealed = submission.entry, bool(references.track.sealed)
    place = standing(references, entry.name, records[0].entry)
    return EntryResult(
        name=entry.name,
        path=submission.path,
        blob=submission.blob,
        sha256=entry.sha256,
        title=entry.title[:80],
        change=submission.change,
        status="ok" if failed is None else failed.status,
        exit_code=0 if failed is None else EXIT_CODES[failed.status],
        whose=whose,
        remedy=remedy,
        verdict=place.verdict,
        neighbours=place.neighbours,
        statuses=disclosure.tally(records),
        seeds=() if sealed else tuple(_seed(references, record) for record in records),
        records=() if sealed else tuple(records),
        shadow=None if sealed or shadow is None else _shadows(references, shadow),
        notes=entry.notes,
    )


def _shadows(references: References, shadow: ShadowRecord) -> ShadowResult:
    yardsticks = yardstick_units.measured(references, shadow.entry)
    return ShadowResult(
        shadow,
        {seed: record.cpu_seconds for seed, record in yardsticks.items()},
        {seed: record.behaviour for seed, record in yardsticks.items()},
    )


def standing(references: References, name: str, entry_id: str) -> Standing:
    """Return where a version of an entry stands, or would stand, on the board of this store, without its sentences."""
    version = next((each for each in versions(references).get(name, []) if each.entry_id == entry_id), None)
    ranked = board.board(references, results=board.read_results(references, version))
    ranked.loc[ranked["state"] == NOT_APPLICABLE, "reason"] = DOES_NOT_APPLY
    if version is None or not (ranked["entry"] == name).any():
        return Standing()
    rows = ranked[ranked["kind"] != "reference"].reset_index(drop=True)
    position = int(rows.index[rows["entry"] == name][0])
    nearest = rows.iloc[max(0, position - NEIGHBOURS) : position + NEIGHBOURS + 1]
    rows = pd.concat([nearest, ranked[ranked["kind"] == "reference"]])
    neighbours = [
        {column: one_line(cell, CELL) if isinstance(cell, str) else cell for column, cell in row.items()}
        for row in json.loads(rows.to_json(orient="records"))
    ]
    return Standing(terminal_board.verdict(ranked, name), tuple(neighbours))


def blobs(references: References, result: PullResult) -> dict[str, bytes]:
    """Return the files that a result names, by SHA-256: sources, logits, φ."""
    return {sha256: references.store.get(sha256) for entry in result.entries for sha256 in entry.blobs()}


def _seed(references: References, record: Record) -> SeedResult:
    numbers = scores.record_scores(references, record)
    retdev, indisc = (None, None) if numbers is None else (numbers.metrics["retdev"], numbers.metrics["indisc"])
    return SeedResult(record.seed, record.status, retdev, indisc, record.rte)
