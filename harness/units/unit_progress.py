"""Progress of units on standard error: one live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys

import click

from unlearn_bench.harness.support.errors import EXIT_CODES
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.unit_kinds import Unit


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


def describe(record: Record) -> str:
    """One line on a finished unit."""
    assert record.status in EXIT_CODES
    time_ = "" if record.seconds is None else f" {record.seconds:.2f} s"
    return f"{record.name} seed {record.seed} {record.status}{time_}" + (f": {record.reason}" if record.reason else "")
