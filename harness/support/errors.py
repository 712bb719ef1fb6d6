"""Errors that end a command: what happened, whose it is, what to do, and the exit code."""

from __future__ import annotations

from typing import Literal

import click

Owner = Literal["your method", "your command", "this machine", "the benchmark"]

USAGE = 2
EXIT_CODES: dict[str, int] = {"ok": 0, "invalid": 10, "crash": 11, "oom": 12, "timeout": 13, "infra": 20}
"""Exit code of each unit status; ``disqualified`` rows are shown, never run."""


class BenchError(click.ClickException):
    """Ends the command with three lines and an exit code, never with a traceback."""

    def __init__(self, what: str, whose: Owner, remedy: str, exit_code: int, log: str = "") -> None:
        super().__init__(what)
        self.whose, self.remedy, self.log = whose, remedy, log
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it for the class and reads the instance's

    def format_message(self) -> str:
        lines = [f"error:  {self.message}", f"whose:  {self.whose}", f"do:     {self.remedy}"]
        if self.log:
            lines.append(f"log:    {self.log}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[BenchError], tuple[object, ...]]:  # worker processes hand errors over
        return BenchError, (self.message, self.whose, self.remedy, self.exit_code, self.log)

    def show(self, file: object = None) -> None:
        click.echo(self.format_message(), err=True)


class TrackError(BenchError):
    """A track file that cannot be read or does not say what a track must say."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "your command", remedy, USAGE)


class DataError(BenchError):
    """A data set that is missing or damaged."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "this machine", remedy, EXIT_CODES["infra"])


class StoreError(BenchError):
    """A stored file that is missing or does not match its digest."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "this machine", remedy, EXIT_CODES["infra"])
