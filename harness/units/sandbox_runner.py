"""Untimed units in sandboxes, side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from unlearn_bench.harness.units.runner import U, UntimedResult
from unlearn_bench.harness.units.slots import STARTING, Slot, run_in_slots, untimed_slot
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.harness.units.unit_run import UnitContext, attempt


class SandboxRunner:
    """Run one sandbox per core, two on a GPU, or one per given slot. A :class:`harness.units.runner.Runner`."""

    overhead = 2.5

    def __init__(self, context: UnitContext, device: str = "cpu", slots: Sequence[Slot] = ()) -> None:
        cores = sorted(os.sched_getaffinity(0))
        if slots:
            self._slots = list(slots)
        elif device == "cpu":
            self._slots = [untimed_slot((core,)) for core in cores]
        else:
            self._slots = [untimed_slot((), device) for _ in range(STARTING)]
        self._context = context
        self.at_once, self.backend, self.trusted = len(self._slots), context.sandbox.name, context.sandbox.trusted

    def run(self, units: Sequence[U], deadline: float) -> Iterator[tuple[U, UntimedResult]]:
        """Run units; yield each as it finishes. See :class:`harness.units.runner.Runner`."""
        context = replace(self._context, stop=threading.Event())  # what ends one run must not end the next

        def work(unit: Unit, slot: Slot) -> UntimedResult:
            logits, outcome = attempt(context, unit, slot, deadline)
            return UntimedResult(
                outcome.status, outcome.reason, logits, outcome.cpu_seconds, outcome.log, outcome.weight_shift
            )

        yield from run_in_slots(units, self._slots, work, context.stop)
