"""Errors for users: what happened, who can do something about it, what to do, and the exit code of the command."""

from __future__ import annotations

from typing import Literal

from unlearn_bench.harness.support.text import visible

Owner = Literal["your method", "your command", "the data set", "this machine", "the benchmark"]

USAGE = 2
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
EXIT_CODES: dict[str, int] = {
    "ok": 0,
    "invalid": 10,
    "crash": 11,
    "oom": 12,
    "timeout": 13,
    "not-applicable": 16,
    "infra": 20,
}
"""Exit code of each unit status; ``disqualified`` rows are shown, never run."""


class BenchError(Exception):
    """An error that a user can act on; the command line prints it as three lines and never as a traceback.

    Attributes:
        message: what happened.
        whose: whose method, command, data set or machine caused it.
        remedy: what to do about it.
        exit_code: exit code of the command.
        log: path of a file with details; may be empty.
    """

    def __init__(self, what: str, whose: Owner, remedy: str, exit_code: int, log: str = "") -> None:
        super().__init__(what)
        self.message, self.whose, self.remedy, self.exit_code, self.log = what, whose, remedy, exit_code, log

    def format_message(self) -> str:
        """Return the three lines, and a fourth one if there is a log."""
        lines = [f"error:  {self.message}", f"whose:  {self.whose}", f"do:     {self.remedy}"]
        if self.log:
            lines.append(f"log:    {self.log}")
        return visible("\n".join(lines))

    def __reduce__(self) -> tuple[type[BenchError], tuple[object, ...]]:  # worker processes hand errors over
        return BenchError, (self.message, self.whose, self.remedy, self.exit_code, self.log)


class TrackError(BenchError):
    """A track file that cannot be read or is not a valid track."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "your command", remedy, USAGE)


class DataError(BenchError):
    """A data set that is missing or damaged. Loaders do not know the track: their remedies say ``TRACK``."""

    owner: Owner = "this machine"

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, self.owner, remedy, EXIT_CODES["infra"])

    def on(self, track: str) -> DataError:
        """Return the error with the name of the track in its remedy."""
        return type(self)(self.message, self.remedy.replace("TRACK", track))


class UnfitData(DataError):
    """A data set that is there and whose images or labels are not what a track can use."""

    owner = "the data set"


class StoreError(BenchError):
    """A stored file that is missing or does not match its digest."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, "this machine", remedy, EXIT_CODES["infra"])


class Unwritable(StoreError):
    """A file that cannot be written: its disk is full or read-only, or its folder belongs to somebody else."""
