"""The result of scoring a pull request: its form, and the folder that holds it.

The folder holds ``result.json``, ``comment.md``, and ``blobs/<sha256>`` with sources, logits and φ. No reader trusts
it: :func:`read` checks the form against the schema that follows from these dataclasses (published by
``harness.pulls.schema``), ``harness.pulls.publication`` checks what it says.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from unlearn_bench.harness.entries.inspection import NOTES
from unlearn_bench.harness.pulls.pull_request import MOST, SHOWN, Refusal
from unlearn_bench.harness.support import json_schema
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError
from unlearn_bench.harness.support.field_types import NAME, Behaviour, Commit, Count, Date, Name, Seconds, Seed, Sha256
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.support.json_schema import rule
from unlearn_bench.harness.support.text import HIDDEN, named
from unlearn_bench.harness.units.records import EndStatus, Record, ShadowRecord

FORMAT: Final = "unlearn-bench/pull-request/1"
LARGEST = 64 << 20
"""The most bytes of a result document."""
DIFFERING = 50
"""The most files that are listed of a harness that differs."""
UNITS = 9999
SeedKey = Annotated[str, rule(pattern="^[0-9]{1,4}$")]
CELL = 400
"""Characters of a text in a row of a board, at most."""

Score = Annotated[float, rule(minimum=-1e9, maximum=1e9)]
ExitCode = Annotated[int, rule(enum=sorted(EXIT_CODES.values()))]
Row = Annotated[
    Mapping[str, Any],
    rule(
        maxProperties=200,
        propertyNames={"pattern": "^[A-Za-z0-9_]{1,40}$"},
        additionalProperties={"type": ["string", "number", "boolean", "null"], "maxLength": CELL},
        required=["entry", "state"],
        properties={"entry": {"type": "string", "pattern": f"^{NAME}$"}},
    ),
]
"""One row of a board, by column."""


@dataclass(frozen=True)
class HarnessSource:
    """Which installation scored, and whether its source is that of the base commit."""

    version: Annotated[str, rule(maxLength=40)]
    digest: Sha256
    matches_base: bool
    differing: Annotated[tuple[Annotated[str, rule(maxLength=300)], ...], rule(maxItems=DIFFERING)]


@dataclass(frozen=True)
class ScoredTrack:
    """On which track."""

    name: Name
    title: Annotated[str, rule(maxLength=200)]
    reference_digest: Sha256
    protocol_digest: Sha256
    analysis_digest: Sha256
    sealed: bool


@dataclass(frozen=True)
class SeedResult:
    """One timed unit in brief."""

    seed: Seed
    status: EndStatus
    retdev: Score | None
    indisc: Score | None
    rte: Score | None


@dataclass(frozen=True)
class ShadowResult:
    """The shadow units of an entry, and CPU seconds and behaviour of its yardstick units by seed."""

    record: ShadowRecord
    probes: Annotated[Mapping[SeedKey, Seconds | None], rule(maxProperties=10)]
    behaviour: Annotated[Mapping[SeedKey, Behaviour], rule(maxProperties=10)] = field(default_factory=dict)


@dataclass(frozen=True)
class EntryResult:
    """What became of one entry: its place with its neighbours, its seeds, its records. No records of a sealed track."""

    name: Name
    path: Annotated[str, rule(pattern=rf"^submissions/{NAME}\.py$")]
    blob: Commit
    sha256: Sha256
    title: Annotated[str, rule(maxLength=80)]
    change: Literal["added", "changed"]
    status: EndStatus
    exit_code: ExitCode
    whose: Annotated[str, rule(maxLength=40)]
    remedy: Annotated[str, rule(maxLength=300)]
    verdict: Annotated[str, rule(maxLength=400)]
    neighbours: Annotated[tuple[Row, ...], rule(maxItems=9)]
    """Rows of the board around the entry's own, best first."""
    statuses: Annotated[Mapping[str, Count], rule(propertyNames={"enum": [*EXIT_CODES]})]
    """How many units ended in which status."""
    seeds: Annotated[tuple[SeedResult, ...], rule(maxItems=UNITS)]
    records: Annotated[tuple[Record, ...], rule(maxItems=UNITS)]
    shadow: ShadowResult | None
    notes: Annotated[tuple[Annotated[str, rule(pattern="^[ -~]{1,400}$")], ...], rule(maxItems=NOTES)] = ()
    """What a reviewer should look at in the source."""

    def blobs(self) -> list[str]:
        """Return the SHA-256 of the entry's source and arrays, where the result has its records."""
        if not self.records:
            return []
        arrays = [record.logits for record in self.records]
        if self.shadow is not None:
            arrays.append(self.shadow.record.values)
        return sorted({self.sha256, *(sha256 for sha256 in arrays if sha256 is not None)})


@dataclass(frozen=True)
class PullResult:
    """What ``bench score-pr`` made of a pull request."""

    format: Literal["unlearn-bench/pull-request/1"]
    kind: Literal["score", "smoke"]
    date: Date
    """When scoring started."""
    base: Commit
    head: Commit
    merge_base: Commit
    harness: HarnessSource
    track: ScoredTrack
    status: Literal["ok", "refused", "failed"]
    exit_code: ExitCode
    refusals: Annotated[tuple[Refusal, ...], rule(maxItems=SHOWN)]
    entries: Annotated[tuple[EntryResult, ...], rule(maxItems=MOST)]
    invalid: Annotated[tuple[Refusal, ...], rule(maxItems=MOST)] = ()
    """Entries that were not run because they break the contract."""


class BadResult(BenchError):
    """A result that is not what ``bench score-pr`` writes."""

    def __init__(
        self, what: str, remedy: str = "take the folder that bench score-pr wrote, whole and unchanged"
    ) -> None:
        super().__init__(what, "your command", remedy, USAGE)


@cache
def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a result."""
    return json_schema.schema(
        PullResult,
        "What bench score-pr made of a pull request",
        "Written by bench score-pr, read by bench publish; both validate it. Arrays that it names by SHA-256 lie "
        "beside it in blobs/.",
    )


def parse(document: object) -> PullResult:
    """Return a parsed JSON document as a result.

    Raises:
        BadResult: it does not have the schema's form; the message names the first place.
    """
    from jsonschema import Draft202012Validator

    _require_plain(document)
    errors = sorted(Draft202012Validator(schema()).iter_errors(document), key=lambda error: list(map(str, error.path)))
    if errors:
        place = "/".join(map(str, errors[0].absolute_path)) or "the document"
        raise BadResult(f"the result does not have the form of its schema: {place!a}: {errors[0].validator}")
    try:
        return msgspec.convert(document, PullResult)
    except msgspec.ValidationError as error:  # 1.0 is an integer for JSON Schema
        raise BadResult(f"the result does not have the form of its schema: {str(error)!a}") from None


def _require_plain(document: object) -> None:
    """Refuse hidden characters, and numbers that are not finite or need more than 64 bits, wherever they stand."""
    values = [document]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str):
            if match := HIDDEN.search(value):
                raise BadResult(f"the result holds the character {named(match[0])}")
        elif isinstance(value, int | float) and not -(2**63) <= value < 2**63:  # also infinite, or no number
            raise BadResult("the result holds a number that needs more than 64 bits")


def to_json(result: PullResult) -> dict[str, Any]:
    """Return a result as a JSON document, in its schema's form.

    Raises:
        BadResult: it holds something that the schema does not allow.
    """
    document: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
    parse(document)
    return document


def write(folder: Path, result: PullResult, comment: str, blobs: Mapping[str, bytes]) -> None:
    """Write a result folder; the document last, so that a reader finds everything or nothing."""
    document = to_json(result)
    for sha256, content in blobs.items():
        write_file(folder / "blobs" / sha256, content)
    write_file(folder / "comment.md", comment.encode())
    write_file(folder / "result.json", json.dumps(document, indent=1, allow_nan=False).encode() + b"\n")


def read(folder: Path) -> PullResult:
    """Return the result in a folder.

    Raises:
        BadResult: there is none, it is not JSON, or it does not have the schema's form.
    """
    try:
        document = json.loads(read_file(folder / "result.json", LARGEST), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadResult(f"{folder / 'result.json'} is not JSON") from None
    return parse(document)


def read_file(path: Path, largest: int) -> bytes:
    """Return the bytes of a regular file of limited size; follow no link."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BadResult(f"{path} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
            raise BadResult(f"{path} is not a regular file of at most {largest:,} bytes")
        return file.read(largest)


def _no_constant(text: str) -> None:
    raise ValueError(text)
