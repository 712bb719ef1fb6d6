"""Who may start and who is timed: sandboxes start side by side, but not while a unit is on the clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


class Turns:
    """Shared by the slots that would disturb each other. Starting is shared, the clock is exclusive and goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._starting = self._waiting = 0
        self._timed = False

    @contextmanager
    def turn(self) -> Iterator[Clock]:
        """Start a sandbox inside; it enters the clock that this yields for its timed part."""
        with self._changed:
            self._changed.wait_for(lambda: not self._timed and not self._waiting)
            self._starting += 1
        clock = Clock(self)
        try:
            yield clock
        finally:
            clock.started()


class Clock:
    """The exclusive part of one turn, a context manager."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._starting = True

    def started(self) -> None:
        """Leave the shared part, if that has not happened yet."""
        if self._starting:
            self._starting = False
            with self._turns._changed:
                self._turns._starting -= 1
                self._turns._changed.notify_all()

    def __enter__(self) -> None:
        turns = self._turns
        with turns._changed:
            turns._waiting += 1
            self.started()
            turns._changed.wait_for(lambda: not turns._starting and not turns._timed)
            turns._waiting -= 1
            turns._timed = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turns._changed:
            self._turns._timed = False
            self._turns._changed.notify_all()
