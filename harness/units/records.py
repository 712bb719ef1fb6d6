"""The records of units: one for each kind of unit, and one for all shadow units of an entry.

A new field is one line here. Give it a default, so that records written before it can still be read.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.field_types import (
    Behaviour,
    Bytes,
    Count,
    Date,
    Facts,
    Fraction,
    Log,
    Name,
    PairBehaviour,
    Parameters,
    Reason,
    Seconds,
    Seed,
    Sha256,
    WallSeconds,
)
from unlearn_bench.harness.support.json_schema import rule
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox.types import Status

EndStatus = Annotated[Status, rule(**{"not": {"const": "disqualified"}})]
"""How a unit can end."""


@dataclass(frozen=True)
class Record:
    """What is kept of one timed unit. Times in seconds, memory in bytes."""

    key: Sha256
    """Digest of everything that decides the unit: entry, seed and the track's digests."""
    entry: Sha256
    """The entry's id: source and parameters."""
    name: Name
    """Of the entry."""
    sha256: Sha256
    """Of the entry's source."""
    track: Name
    """Name of the track; its digests say what exactly it was."""
    reference_digest: Sha256
    """Of the track's data, splits, model and recipe."""
    protocol_digest: Sha256
    """Of how the track's units run."""
    seed: Seed
    """The model seed."""
    status: EndStatus
    """How the unit ended."""
    reason: Reason
    """Why it did not end ``ok``, in one line."""
    seconds: WallSeconds | None
    """The unit's time on the host's clock."""
    cpu_seconds: Seconds | None
    """CPU time, where the back end measures it."""
    peak_memory: Bytes | None
    """The most memory that it had at one time."""
    retrain_seconds: WallSeconds | None
    """Retrain's time for the same seed, by the same path on the same machine (the numerator of RTE)."""
    logits: Sha256 | None
    """SHA-256 of the logits [n, classes] on every example of the data set."""
    date: Date
    """When the unit ended, in UTC."""
    trusted: bool
    """Whether the back end that ran it was a trusted sandbox."""
    environment: Facts
    """Machine, versions and image."""
    log: Log = ""
    """The newest output."""
    warnings: Annotated[tuple[Reason, ...], rule(maxItems=100)] = ()
    """What did not change the status but should be known."""
    parameters: Parameters = field(default_factory=dict)
    """All hyper-parameters, defaults included."""
    weight_distance: Annotated[float, rule(minimum=0, maximum=1e9)] | None = None
    """Normalised L2 distance of the weights to the retrained model's, where those are kept."""
    disturbed: Reason = ""
    """What ran beside it, or beside Retrain, in every attempt; its time then does not count."""
    checkpoint: Sha256 | None = None
    """SHA-256 of the file that the model was read from, where nothing was run: ``seconds`` and ``retrain_seconds`` are
    then what its author declared."""
    behaviour: Behaviour = field(default_factory=dict)
    """What its model is like."""

    @property
    def rte(self) -> float | None:
        """Speed-up over retraining, where both times are known and nothing disturbed them."""
        if self.disturbed or not self.retrain_seconds or not self.seconds:
            return None
        return self.retrain_seconds / self.seconds

    def save(self, store: Store) -> None:
        """Keep the record under its key."""
        documents.write(store, record_kind(self.reference_digest, self.protocol_digest), self.key, self)


@dataclass(frozen=True)
class YardstickRecord:
    """What is kept of one yardstick unit."""

    cpu_seconds: Seconds | None
    behaviour: Behaviour = field(default_factory=dict)


@dataclass(frozen=True)
class ShadowUnitRecord:
    """What is kept of one shadow unit."""

    status: EndStatus
    reason: str
    phi: str | None
    """SHA-256 of φ, float32 [population], from scaled logits: all that attacks read, and much smaller than these."""
    cpu_seconds: float | None
    trusted: bool
    log: str = ""
    temperature: float | None = None
    """See ``scoring.temperature``; ``None`` where φ is of the logits as they were: such units run again."""
    accuracies: Mapping[str, float] = field(default_factory=dict)
    """On the unit's R, F, V and T."""
    behaviour: Behaviour = field(default_factory=dict)


@dataclass(frozen=True)
class SwapRecord:
    """What is kept of one swapped unit."""

    status: EndStatus
    reason: str
    logits: str | None
    """SHA-256 of the logits [n, classes] on every example of the data set."""
    cpu_seconds: float | None
    trusted: bool
    log: str = ""
    behaviour: Behaviour = field(default_factory=dict)


@dataclass(frozen=True)
class ShadowRecord:
    """What is kept of all shadow units of one entry, or of a reference row."""

    entry: Sha256
    """The entry's id; ``retrain`` or ``original`` for the reference rows."""
    name: Name
    """Of the entry."""
    sha256: Sha256
    """Of the entry's source; empty for the reference rows."""
    status: EndStatus
    reason: Reason
    pairs: Count
    """How many complementary pairs of splits have run."""
    values: Sha256 | None
    """SHA-256 of φ [population, pairs] under the names of :class:`scoring.shadows.Columns`."""
    cpu_seconds: Seconds | None
    """Mean over the units."""
    narrow: Annotated[float, rule(minimum=0, maximum=1e9)] | None
    """Half-width of the interval below which the run was allowed to stop early."""
    trusted: bool
    date: Date
    environment: Facts = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    failed: Annotated[str, rule(maxLength=200)] = ""
    """Which unit failed."""
    log: Log = ""
    """Of the unit that failed."""
    temperature: Annotated[float, rule(minimum=0)] | None = None
    """Geometric mean over the units of a finished run, see :class:`ShadowUnitRecord`."""
    accuracies: Annotated[Mapping[str, Fraction], rule(maxProperties=4)] = field(default_factory=dict)
    """Means over the units of a finished run."""
    behaviour: PairBehaviour = field(default_factory=dict)
    """Means over the units of each pair of splits of a finished run."""

    def stopped(self, track: Track) -> bool:
        """Whether pairs of the track are left that did not run because the interval was narrow enough."""
        return self.narrow is not None and self.pairs < track.protocol.lira_splits // 2


def record_kind(reference_digest: str, protocol_digest: str) -> str:
    """Return the kind of document under which the records of a track's timed units are stored."""
    return f"units/{_folder(reference_digest, protocol_digest)}"


def track_folder(track: Track) -> str:
    """Return the folder of all that depends on how a track's units run: the last part of their kinds of document."""
    return _folder(track.reference_digest, track.protocol_digest)


def _folder(reference_digest: str, protocol_digest: str) -> str:
    return f"{reference_digest[:16]}-{protocol_digest[:16]}"


def now() -> str:
    """Return the current time in UTC to the second, in ISO 8601, as in records."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
