"""Whether a timed unit was disturbed: by work on its core that the kernel counts, or by what slows the core down."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from unlearn_bench.harness.units import core_spin
from unlearn_bench.sandbox.types import Outcome

ACCOUNT = Path("/proc/stat")
SHARE = 0.05
"""Of a unit's seconds, for which it may wait for others on its core."""
LEAST = 0.05
"""Seconds that it may always wait: the account counts hundredths."""


@dataclass(frozen=True)
class CoreAccount:
    """Seconds since the machine started, over some of its cores."""

    busy: float
    """In which they worked, for anybody."""
    stolen: float
    """In which the hypervisor had them work for other machines."""


def account(cores: Sequence[int]) -> CoreAccount | None:
    """Return the account of these cores; ``None`` for none, or where the kernel keeps no such account (not Linux)."""
    if not cores or not ACCOUNT.is_file():
        return None
    tick = os.sysconf("SC_CLK_TCK")
    lines = dict(line.split(maxsplit=1) for line in ACCOUNT.read_text().splitlines() if line.startswith("cpu"))
    busy = stolen = 0
    for core in cores:
        user, nice, system, _, _, irq, softirq, steal, *_ = map(int, lines[f"cpu{core}"].split())
        busy += user + nice + system + irq + softirq
        stolen += steal
    return CoreAccount(busy / tick, stolen / tick)


class WatchedClock:
    """The clock of a timed unit, which as it starts and stops also reads the account of its core, and spins there.

    Where there is no account it is the clock only.
    """

    def __init__(self, clock: AbstractContextManager[Any], cores: Sequence[int]) -> None:
        self._clock, self._cores = clock, cores
        self._before: CoreAccount | None = None
        self._after: CoreAccount | None = None
        self._spins: dict[str, float] = {}

    def __enter__(self) -> None:
        self._clock.__enter__()
        if account(self._cores) is not None:
            self._spins["before"] = core_spin.spin(self._cores)
        self._before = account(self._cores)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._after = account(self._cores)
        if self._after is not None:
            self._spins["after"] = core_spin.spin(self._cores)
        self._clock.__exit__(kind, error, traceback)

    def disturbance(self, outcome: Outcome) -> str:
        """Return what disturbed a finished unit, for people; empty where nothing did, or that is unknown."""
        if outcome.status != "ok" or outcome.seconds is None:
            return ""
        return self._waited(outcome.seconds, outcome.cpu_seconds) or self._slowed()

    def _waited(self, seconds: float, cpu_seconds: float | None) -> str:
        """Say how long a unit waited: it did not work itself, and its core worked for others or was stolen."""
        if cpu_seconds is None or self._before is None or self._after is None:
            return ""
        others = self._after.busy - self._before.busy - cpu_seconds + self._after.stolen - self._before.stolen
        waited = min(others, seconds - cpu_seconds)  # others may also work while it is ended
        if waited <= max(LEAST, SHARE * seconds):
            return ""
        return f"it waited {waited:.2f} of its {seconds:.2f} s for other work on its core"

    def _slowed(self) -> str:
        """Say when its core was slower than it has been, by more than the tolerance."""
        for moment, seconds in self._spins.items():
            if slow := core_spin.slowness(self._cores, seconds):
                return f"right {moment} it, its core was {slow:.0%} slower than it has been"
        return ""
