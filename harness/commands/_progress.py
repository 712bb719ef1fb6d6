"""Progress on standard error: one live block on a terminal, plain lines elsewhere, with the time that is left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.support.progress import span

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 60.0
"""Seconds between two plain lines on how much is done."""
SOON = 10.0
"""Seconds of remaining work that nobody needs to be told of."""


class TerminalObserver:
    """Shows the progress of a workflow; see :class:`harness.support.progress.Observer`."""

    def progress(self, title: str, total: int, unit: str, done: int = 0) -> ProgressBar:
        """Return a bar, to be entered."""
        return ProgressBar(title, total, unit, done)

    def units(self, title: str, total: int) -> UnitDisplay:
        """Return a display of units, to be entered."""
        return UnitDisplay(title, total)


class LiveBlock:
    """The live lines at the end of a terminal: one block, whatever works at a time; messages scroll by above it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._users = 0

    def __enter__(self) -> Progress:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[amount]}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.start()
        self._users += 1
        return self._progress

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users == 0 and self._progress is not None:
            self._progress.stop()
            self._progress = None


BLOCK = LiveBlock()


class Remaining:
    """Estimates from what has been done so far how long the rest takes."""

    def __init__(self, total: int, done: int = 0) -> None:
        self._total, self._before, self._started = total, done, time.monotonic()

    def text(self, done: int) -> str:
        """Return ``, about 3 min left``; nothing where that is unknown, or soon over."""
        if done <= self._before:
            return ""
        left = (self._total - done) * (time.monotonic() - self._started) / (done - self._before)
        return f", about {span(left)} left" if left >= SOON else ""


class ProgressBar:
    """A progress bar on a terminal; elsewhere a plain line per finished item, and one a minute on how much is done."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self._live = sys.stderr.isatty()
        self._title, self._total, self._unit, self._done = title, total, unit, done
        self._remaining = Remaining(total, done)
        self._printed, self._printed_at = done, time.monotonic()

    def __enter__(self) -> ProgressBar:
        if self._live:
            self._progress = BLOCK.__enter__()
            self._task = self._progress.add_task(
                self._title, total=self._total, completed=self._done, amount=self._amount(self._done)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._progress.remove_task(self._task)
            BLOCK.__exit__(kind, error, trace)

    def at(self, done: int) -> None:
        """Show how much is done."""
        if self._live:
            self._progress.update(self._task, completed=done, amount=self._amount(done))
        elif done > self._printed and time.monotonic() - self._printed_at >= EVERY:
            self._printed, self._printed_at = done, time.monotonic()
            click.echo(f"{self._title}: {self._amount(done)}", err=True)

    def _amount(self, done: int) -> str:
        scale, unit = (1e6, "MB") if self._unit == "bytes" else (1, self._unit)
        return f"{done / scale:,.0f} of {self._total / scale:,.0f} {unit}{self._remaining.text(done)}"

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
        self._remaining = Remaining(total)

    def __enter__(self) -> UnitDisplay:
        if self._live:
            self._progress = BLOCK.__enter__()
            self._all = self._progress.add_task(self._title, total=self._total, amount=self._amount())
            self._tasks: dict[str, TaskID] = {}
        else:
            click.echo(f"{self._title}: {self._total} to run", err=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            for task in (self._all, *self._tasks.values()):
                self._progress.remove_task(task)
            BLOCK.__exit__(kind, error, trace)

    def started(self, key: str, label: str) -> None:
        """Show that a unit runs."""
        if self._live:
            self._tasks[key] = self._progress.add_task(f"  {label}", total=None, amount="")

    def finished(self, key: str, text: str, ok: bool) -> None:
        """Show how a unit ended: on a terminal only where it failed."""
        self._done += 1
        if self._live:
            self._progress.remove_task(self._tasks.pop(key))
            self._progress.update(self._all, completed=self._done, amount=self._amount())
            if not ok:
                self._progress.console.print(text, highlight=False, markup=False)
        else:
            click.echo(f"[{self._done}/{self._total}] {text}{self._remaining.text(self._done)}", err=True)

    def _amount(self) -> str:
        return f"{self._done} of {self._total}{self._remaining.text(self._done)}"
