"""Untimed units, many at once: shadow units and trials of a search; in sandboxes, or without where the code is ours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.evaluate import Bench, Slot, attempt
from harness.executors import local
from harness.references import References
from harness.units import Unit, records
from sandbox.types import Status


@dataclass(frozen=True)
class Result:
    """What one untimed unit gave; ``logits`` [n, classes] on every example when ``status`` is ``ok``."""

    status: Status
    reason: str
    logits: NDArray[np.float32] | None
    cpu_seconds: float | None
    log: str = ""


class Runner(Protocol):
    """Runs untimed units side by side."""

    at_once: int
    trusted: bool
    """Whether its results of the entries it is for may stand on a public board."""

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, Result]]:
        """Run units of at most ``deadline`` seconds each; yields each as it finishes, in any order."""


class Sandboxed:
    """Untimed units in sandboxes, one per core (on a GPU: two side by side)."""

    def __init__(self, bench: Bench, device: str = "cpu") -> None:
        cores = sorted(os.sched_getaffinity(0))
        if device == "cpu":
            self._slots = [Slot(cores=(core,)) for core in cores]
        else:
            self._slots = [Slot(device=device) for _ in range(local.STARTING)]
        self._bench = bench
        self.at_once, self.trusted = len(self._slots), bench.sandbox.trusted

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, Result]]:
        def work(unit: Unit, slot: Slot) -> Result:
            logits, outcome = attempt(self._bench, unit, slot, deadline)
            return Result(outcome.status, outcome.reason, logits, outcome.cpu_seconds, outcome.log)

        yield from local.run(units, self._slots, work, self._bench.stop)


def deadline(references: References, unit: Unit) -> float:
    """Seconds that an untimed unit gets: the timed units' deadline, scaled by |R|, and never less than the floor."""
    protocol = references.track.protocol
    known = [r.retrain_seconds for r in records(references.store, references.track) if r.retrain_seconds is not None]
    share = len(references.parts(unit.seed, unit.forget_set)["retain"]) / references.track.splits.retain
    return max(protocol.deadline_floor, protocol.deadline_factor * max(known, default=0.0) * share)
