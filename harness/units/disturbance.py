"""Whether other work ran on the core of a timed unit: the kernel's account of the core beside the unit's seconds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

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
    """The clock of a timed unit, which also reads the account of its cores as it starts and as it stops."""

    def __init__(self, clock: AbstractContextManager[Any], cores: Sequence[int]) -> None:
        self._clock, self._cores = clock, cores
        self._before: CoreAccount | None = None
        self._after: CoreAccount | None = None

    def __enter__(self) -> None:
        self._clock.__enter__()
        self._before = account(self._cores)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._after = account(self._cores)
        self._clock.__exit__(kind, error, traceback)

    def disturbance(self, outcome: Outcome) -> str:
        """Return how long a finished unit waited for others, for people; empty where that is short or unknown.

        It waited when it did not work itself, and its core worked for others or was stolen.
        """
        if outcome.status != "ok" or outcome.seconds is None or outcome.cpu_seconds is None:
            return ""
        if self._before is None or self._after is None:
            return ""
        others = self._after.busy - self._before.busy - outcome.cpu_seconds + self._after.stolen - self._before.stolen
        waited = min(others, outcome.seconds - outcome.cpu_seconds)  # others may also work while it is ended
        if waited <= max(LEAST, SHARE * outcome.seconds):
            return ""
        return f"it waited {waited:.2f} of its {outcome.seconds:.2f} s for other work on its core"
