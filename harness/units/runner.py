"""Untimed units, many at once, such as shadow units and the trials of a search: their runners and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.harness.units.unit_store import seed_records
from unlearn_bench.sandbox.types import Status

U = TypeVar("U", bound=Unit)


@dataclass(frozen=True)
class UntimedResult:
    """The result of one untimed unit; ``logits`` [n, classes] on every example when ``status`` is ``ok``."""

    status: Status
    reason: str
    logits: NDArray[np.float32] | None
    cpu_seconds: float | None
    log: str = ""
    weight_shift: float | None = None
    """Normalised L2 distance of the model's weights from the original's."""


class Runner(Protocol):
    """Runs untimed units side by side."""

    at_once: int
    overhead: float
    """Seconds that starting and inference add to a unit, for estimates."""
    backend: str
    """Name of the back end, for records."""
    trusted: bool
    """Whether results of the entries that it is meant for may be ranked on a public board."""

    def run(self, units: Sequence[U], deadline: float) -> Iterator[tuple[U, UntimedResult]]:
        """Run units of at most ``deadline`` seconds each; yield each as it finishes, in any order."""


def deadline(references: References, unit: Unit) -> float:
    """Return the seconds that an untimed unit may take.

    It is the deadline of timed units scaled by |R|, and never less than the floor.
    """
    protocol = references.track.protocol
    records = seed_records(references.store, references.track)
    measured = [record for record in records if record.checkpoint is None]
    times = [record.retrain_seconds for record in measured if record.retrain_seconds is not None]
    share = len(unit.parts(references.examples)["retain"]) / references.track.splits.retain
    return max(protocol.deadline_floor, protocol.deadline_factor * max(times, default=0.0) * share)
