"""What every tracker's module defines, and what it answers: ``export(run)`` returns an :class:`Exported`."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unlearn_bench.harness.report.cells import shortened
from unlearn_bench.harness.report.trackers.tracked_run import TrackedRun
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError

TITLES: Mapping[str, str] = {"mlflow": "MLflow", "wandb": "Weights & Biases"}
"""Trackers by the name of their module here, of their library, and of the extra that installs it."""

Change = Literal["new", "replaced", "unchanged", "sent"]


@dataclass(frozen=True)
class Exported:
    """Where a row of a board is now in an experiment tracker."""

    tracker: str
    run: str
    """The run's id there."""
    place: str
    """Address of its page, or the folder of a run that W&B has written offline."""
    change: Change
    """``unchanged``: the tracker had this row already, and nothing was sent; ``sent``: to W&B, under the
    id of earlier exports."""


def export(tracker: str, run: TrackedRun) -> Exported:
    """Give a row to a tracker.

    Args:
        tracker: a key of :data:`TITLES`.
        run: the row.

    Raises:
        BenchError: no such tracker, its library is not installed, or it did not take the run.
    """
    if tracker not in TITLES:
        raise BenchError(f"no tracker is called {tracker!r}", "your command", f"use {' or '.join(TITLES)}", USAGE)
    try:
        importlib.import_module(tracker)
    except ModuleNotFoundError:
        remedy = f"pip install 'unlearn-bench[{tracker}]'"
        what = f"an export to {TITLES[tracker]} needs {tracker}"
        raise BenchError(what, "this machine", remedy, EXIT_CODES["infra"]) from None
    module = importlib.import_module(f"{__package__}.{tracker}_tracker")
    exported: Exported = module.export(run)
    return exported


@contextmanager
def written(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a temporary folder with these files."""
    with tempfile.TemporaryDirectory(prefix="unlearn-bench-") as folder:
        for name, content in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield Path(folder)


def first_line(error: Exception) -> str:
    """Return the beginning of what a tracker's library says of an error."""
    return shortened((str(error).strip() or type(error).__name__).splitlines()[0], 200)
