"""Progress on standard error: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.support.progress import span

if TYPE_CHECKING:
    from rich.progress import TaskID

EVERY = 60.0
"""Seconds between two plain lines on how much is done."""


class TerminalObserver:
    """Shows the progress of a workflow; see :class:`harness.support.progress.Observer`."""

    def progress(self, title: str, total: int, unit: str, done: int = 0) -> ProgressBar:
        """Return a bar, to be entered."""
        return ProgressBar(title, total, unit, done)

    def units(self, title: str, total: int) -> UnitDisplay:
        """Return a display of units, to be entered."""
        return UnitDisplay(title, total)


class ProgressBar:
    """A progress bar on a terminal; elsewhere a plain line per finished item, and one a minute on how much is done."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._live = sys.stderr.isatty()
        self._title, self._total, self._unit, self._done = title, total, unit, done
        self._before, self._started = done, time.monotonic()
        self._printed, self._printed_at = done, self._started

    def __enter__(self) -> ProgressBar:
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
        elif done > self._printed and time.monotonic() - self._printed_at >= EVERY:
            self._printed, self._printed_at = done, time.monotonic()
            left = (self._total - done) * (self._printed_at - self._started) / (done - self._before)
            scale, unit = (1e6, "MB") if self._unit == "bytes" else (1, self._unit)
            amount = f"{done / scale:,.0f} of {self._total / scale:,.0f} {unit}"
            click.echo(f"{self._title}: {amount}, about {span(max(left, 0))} left", err=True)

    def step(self, count: int = 1) -> None:
        """Show that so many more are done."""
        self._done += count
        self.at(self._done)

    def line(self, text: str) -> None:
        """Print a line if standard error is not a terminal."""
        if not self._live:
            click.echo(text, err=True)


class UnitDisplay:
    """On a terminal a live line for each unit that runs; elsewhere a plain line for each that finished."""

    def __init__(self, title: str, total: int) -> None:
        self._live = sys.stderr.isatty()
        self._title, self._total, self._done = title, total, 0

    def __enter__(self) -> UnitDisplay:
        if self._live:
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
            )
            self._all = self._progress.add_task(f"{self._title}: 0/{self._total}")
            self._tasks: dict[str, TaskID] = {}
            self._progress.start()
        else:
            click.echo(f"{self._title}: {self._total} to run", err=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.stop()

    def started(self, key: str, label: str) -> None:
        """Show that a unit runs."""
        if self._live:
            self._tasks[key] = self._progress.add_task(f"  {label}")

    def finished(self, key: str, text: str, ok: bool) -> None:
        """Show how a unit ended: on a terminal only where it failed."""
        self._done += 1
        if self._live:
            self._progress.remove_task(self._tasks.pop(key))
            self._progress.update(self._all, description=f"{self._title}: {self._done}/{self._total}")
            if not ok:
                self._progress.console.print(text, highlight=False, markup=False)
        else:
            click.echo(f"[{self._done}/{self._total}] {text}", err=True)
