"""The result of scoring a pull request: a JSON document with a published schema, and the arrays that it names.

A folder: ``result.json``, ``comment.md``, and ``blobs/<sha256>`` with sources, logits and φ. Who reads it trusts none
of it: ``read`` checks the form, ``harness.pulls.publication`` what it says.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from unlearn_bench.harness.pulls.provenance import Harness
from unlearn_bench.harness.pulls.pull_request import PullRequest, Submission
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report import tables
from unlearn_bench.harness.results import board, scores
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.units import disclosure, probe_units
from unlearn_bench.harness.units.blame import BLAME
from unlearn_bench.harness.units.records import Record, ShadowRecord, now

FORMAT = "unlearn-bench/pull-request/1"
SCHEMA = Path(__file__).parent / "schemas" / "pull_request.json"
LARGEST = 64 << 20
"""Bytes of a result document."""
NEIGHBOURS = 2
"""Rows shown above and below an entry."""
Document = dict[str, Any]


class BadResult(BenchError):
    """A result that is not what ``bench score-pr`` writes."""

    def __init__(
        self, what: str, remedy: str = "take the folder that bench score-pr wrote, whole and unchanged"
    ) -> None:
        super().__init__(what, "your command", remedy, USAGE)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a result."""
    content: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return content


def validate(document: object) -> Document:
    """The document, if it has the schema's form.

    Raises:
        BadResult: names the first place that has not.
    """
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema()).iter_errors(document), key=lambda error: list(map(str, error.path)))
    if errors:
        place = "/".join(map(str, errors[0].absolute_path)) or "the document"
        raise BadResult(f"the result does not have the form of its schema: {place!a}: {errors[0].validator}")
    assert isinstance(document, dict)
    return document


def write(folder: Path, document: Document, comment: str, blobs: Mapping[str, bytes]) -> None:
    """Write a result; the document last, so that a reader finds all or nothing."""
    validate(document)
    for sha256, content in blobs.items():
        write_file(folder / "blobs" / sha256, content)
    write_file(folder / "comment.md", comment.encode())
    write_file(folder / "result.json", json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")


def read(folder: Path) -> Document:
    """The document of a result folder, in its schema's form."""
    try:
        document = json.loads(read_file(folder / "result.json", LARGEST), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadResult(f"{folder / 'result.json'} is not JSON") from None
    return validate(document)


def read_file(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of limited size; follows no link."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BadResult(f"{path} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_size > largest:
            raise BadResult(f"{path} is not a regular file of at most {largest:,} bytes")
        return file.read(largest)


def _no_constant(text: str) -> None:
    raise ValueError(text)


def start(references: References, pull: PullRequest, harness: Harness, kind: str) -> Document:
    """A result without entries: what was to be scored, by what, on which track."""
    track = references.track
    return {
        "format": FORMAT,
        "kind": kind,
        "date": now(),
        "base": pull.base,
        "head": pull.head,
        "merge_base": pull.merge_base,
        "harness": {
            "version": harness.version,
            "digest": harness.digest,
            "matches_base": harness.matches,
            "differing": list(harness.differing[:50]),
        },
        "track": {
            "name": track.name,
            "title": track.analysis.title,
            "reference_digest": track.reference_digest,
            "protocol_digest": track.protocol_digest,
            "analysis_digest": track.analysis_digest,
            "sealed": bool(track.sealed),
        },
        "status": "refused" if pull.refusals else "ok",
        "exit_code": EXIT_CODES["invalid"] if pull.refusals else 0,
        "refusals": [dataclasses.asdict(one) for one in pull.refusals],
        "entries": [],
    }


def entry(
    references: References, submission: Submission, records: Sequence[Record], shadow: ShadowRecord | None
) -> Document:
    """What became of one entry: its row with its neighbours, its seeds, its records. Of a sealed track no records."""
    ended: list[Record | ShadowRecord] = [*records, *([shadow] if shadow else [])]
    worst = next((one for one in ended if one.status != "ok"), None)
    whose, remedy = ("", "") if worst is None else BLAME[worst.status]
    about = submission.entry
    sealed = references.track.sealed
    standing = place(references, about.name)
    return {
        "name": about.name,
        "path": submission.path,
        "blob": submission.blob,
        "sha256": about.sha256,
        "title": about.title[:80],
        "change": submission.change,
        "status": "ok" if worst is None else worst.status,
        "exit_code": 0 if worst is None else EXIT_CODES[worst.status],
        "whose": whose,
        "remedy": remedy,
        **standing,
        "statuses": disclosure.tally(records),
        "seeds": [] if sealed else [_seed(references, record) for record in records],
        "records": []
        if sealed
        else [dataclasses.asdict(record) | {"warnings": list(record.warnings)} for record in records],
        "shadow": None if sealed or shadow is None else _shadow(references, shadow),
    }


def place(references: References, name: str) -> Document:
    """Where an entry stands on the board of what is stored: ``verdict`` and ``neighbours`` (rows, best first)."""
    ranked = board.board(references)
    if not (ranked["entry"] == name).any():
        return {"verdict": "", "neighbours": []}
    rows = ranked[ranked["kind"] != "reference"].reset_index(drop=True)
    at = int(rows.index[rows["entry"] == name][0])
    near = rows.iloc[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1]
    rows = pd.concat([near, ranked[ranked["kind"] == "reference"]])
    return {"verdict": tables.verdict(ranked, name), "neighbours": json.loads(rows.to_json(orient="records"))}


def finish(document: Document) -> Document:
    """The status and exit code of the whole: those of the first entry that failed."""
    failed = [one for one in document["entries"] if one["status"] != "ok"]
    if failed:
        document |= {"status": "failed", "exit_code": failed[0]["exit_code"]}
    return document


def _seed(references: References, record: Record) -> Document:
    found = scores.of_record(references, record)
    numbers = {name: None if found is None else found.metrics[name] for name in ("retdev", "indisc")}
    return {"seed": record.seed, "status": record.status, **numbers, "rte": record.rte}


def _shadow(references: References, record: ShadowRecord) -> Document:
    return {"record": dataclasses.asdict(record), "probes": probe_units.measured(references, record.entry)}


def blobs(references: References, document: Document) -> dict[str, bytes]:
    """What the document names by SHA-256: sources, logits, φ."""
    return {sha256: references.store.get(sha256) for one in document["entries"] for sha256 in named(one)}


def named(entry: Document) -> list[str]:
    """SHA-256 of an entry's source and arrays, as far as its document has records."""
    if not entry["records"]:
        return []
    arrays = [record["logits"] for record in entry["records"]]
    shadow = [entry["shadow"]["record"]["values"]] if entry["shadow"] else []
    return sorted({entry["sha256"], *(sha256 for sha256 in [*arrays, *shadow] if sha256 is not None)})
