"""Progress on standard error: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click

from unlearn_bench.harness.support.errors import EXIT_CODES
from unlearn_bench.harness.units.units import Record, Unit

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


class UnitProgress:
    """Shows units: on a terminal one live line for each that runs, elsewhere a plain line for each that finished."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._done = self._total = 0

    def begin(self, title: str, total: int) -> None:
        self._done, self._total = 0, total
        if self._live:
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(stderr=True)
            )
            self._tasks = {"": self._progress.add_task(f"{title}: 0/{total}")}
            self._title = title
            self._progress.start()
        else:
            click.echo(f"{title}: {total} to run", err=True)

    def started(self, unit: Unit) -> None:
        if self._live:
            label = unit.entry.name if unit.track.sealed else unit.label
            self._tasks[unit.key] = self._progress.add_task(f"  {label}")

    def finished(self, unit: Unit, record: Record | None) -> None:
        self._done += 1
        if unit.track.sealed:
            text = f"{unit.entry.name} {'skipped' if record is None else record.status}"
        else:
            text = f"{unit.label} skipped" if record is None else describe(record)
        if self._live:
            self._progress.remove_task(self._tasks.pop(unit.key))
            self._progress.update(self._tasks[""], description=f"{self._title}: {self._done}/{self._total}")
            if record is not None and record.status != "ok":
                self._progress.console.print(text, highlight=False, markup=False)
        else:
            click.echo(f"[{self._done}/{self._total}] {text}", err=True)

    def end(self) -> None:
        if self._live:
            self._progress.stop()


def span(seconds: float) -> str:
    """A duration for people."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def describe(record: Record) -> str:
    """One line on a finished unit."""
    assert record.status in EXIT_CODES
    time_ = "" if record.seconds is None else f" {record.seconds:.2f} s"
    return f"{record.name} seed {record.seed} {record.status}{time_}" + (f": {record.reason}" if record.reason else "")
