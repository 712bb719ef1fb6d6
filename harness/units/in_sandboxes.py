"""Untimed units in sandboxes, side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from unlearn_bench.harness.units.evaluation import Bench, attempt
from unlearn_bench.harness.units.slots import STARTING, Slot, run_in_slots, untimed_slot
from unlearn_bench.harness.units.units import Unit
from unlearn_bench.harness.units.untimed import Result


class Sandboxed:
    """One sandbox per core, on a GPU two side by side, or as ``slots`` say. A :class:`harness.units.untimed.Runner`."""

    overhead = 2.5

    def __init__(self, bench: Bench, device: str = "cpu", slots: Sequence[Slot] = ()) -> None:
        cores = sorted(os.sched_getaffinity(0))
        if slots:
            self._slots = list(slots)
        elif device == "cpu":
            self._slots = [untimed_slot((core,)) for core in cores]
        else:
            self._slots = [untimed_slot((), device) for _ in range(STARTING)]
        self._bench = bench
        self.at_once, self.backend, self.trusted = len(self._slots), bench.sandbox.name, bench.sandbox.trusted

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, Result]]:
        bench = replace(self._bench, stop=threading.Event())  # what ends one run must not end the next

        def work(unit: Unit, slot: Slot) -> Result:
            logits, outcome = attempt(bench, unit, slot, deadline)
            return Result(outcome.status, outcome.reason, logits, outcome.cpu_seconds, outcome.log)

        yield from run_in_slots(units, self._slots, work, bench.stop)
