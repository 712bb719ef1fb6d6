"""Progress on standard error: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click

EVERY = 60.0
"""Seconds from one plain line on how much is done to the next."""


class Bar:
    """A progress bar on a terminal; elsewhere a plain line per finished thing, and one a minute on how much is done."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._live = sys.stderr.isatty()
        self._title, self._total, self._unit, self._done = title, total, unit, done
        self._before, self._started = done, time.monotonic()
        self._said, self._when = done, self._started

    def __enter__(self) -> Bar:
        if self._live:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )

            counts = (
                (DownloadColumn(), TransferSpeedColumn())
                if self._unit == "bytes"
                else (MofNCompleteColumn(), TextColumn(self._unit))
            )
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                *counts,
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(self._title, total=self._total, completed=self._done)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def at(self, done: int) -> None:
        """Show how much is done."""
        if self._live:
            self._progress.update(self._task, completed=done)
        elif done > self._said and time.monotonic() - self._when >= EVERY:
            self._said, self._when = done, time.monotonic()
            left = (self._total - done) * (self._when - self._started) / (done - self._before)
            scale, unit = (1e6, "MB") if self._unit == "bytes" else (1, self._unit)
            amount = f"{done / scale:,.0f} of {self._total / scale:,.0f} {unit}"
            click.echo(f"{self._title}: {amount}, about {span(max(left, 0))} left", err=True)

    def step(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        self.at(self._done)

    def line(self, text: str) -> None:
        """Something finished (a plain line where there is no terminal)."""
        if not self._live:
            click.echo(text, err=True)


def span(seconds: float) -> str:
    """A duration for people."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
