"""Progress of long work: libraries report it to an observer, which decides what to show, and where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Counts what is done of one piece of work."""

    def at(self, done: int) -> None:
        """Take note of how much is done."""

    def step(self, count: int = 1) -> None:
        """Take note that so many more are done."""

    def line(self, text: str) -> None:
        """Take note that something finished, with a line about it."""


class UnitProgress(Protocol):
    """Follows units that run side by side."""

    def started(self, key: str, label: str) -> None:
        """Take note that the unit of this key has started."""

    def finished(self, key: str, text: str, ok: bool) -> None:
        """Take note of how the unit of this key ended, with a line about it."""


class Observer(Protocol):
    """Shows people, or a program, how far a workflow is. Called from the workflow's threads."""

    def progress(self, title: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[Progress]:
        """Follow one piece of work.

        Args:
            title: what is done.
            total: how many there are of what is counted.
            unit: name of what is counted, in the plural; ``bytes`` are shown in multiples.
            done: how many were done before.
        """

    def units(self, title: str, total: int) -> AbstractContextManager[UnitProgress]:
        """Follow ``total`` units."""


class Unobserved:
    """Shows nothing: the observer, and the progress, where none was given."""

    @contextmanager
    def progress(self, title: str, total: int, unit: str, done: int = 0) -> Iterator[Unobserved]:
        """Yield itself."""
        yield self

    @contextmanager
    def units(self, title: str, total: int) -> Iterator[Unobserved]:
        """Yield itself."""
        yield self

    def at(self, done: int) -> None:
        """Do nothing."""

    def step(self, count: int = 1) -> None:
        """Do nothing."""

    def line(self, text: str) -> None:
        """Do nothing."""

    def started(self, key: str, label: str) -> None:
        """Do nothing."""

    def finished(self, key: str, text: str, ok: bool) -> None:
        """Do nothing."""


def span(seconds: float) -> str:
    """Return a duration as readable text: in seconds, minutes, hours or days."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
