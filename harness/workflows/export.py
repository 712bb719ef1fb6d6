"""``bench show --export``: a row of a board becomes a run of an experiment tracker."""

from __future__ import annotations

from pathlib import Path

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.report.trackers import contract
from unlearn_bench.harness.report.trackers.contract import Exported
from unlearn_bench.harness.report.trackers.tracked_run import tracked_run
from unlearn_bench.harness.results import board
from unlearn_bench.harness.results.entry_details import entry_details, public_details
from unlearn_bench.harness.store.store import Snapshot
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import entry_sources


def export(name: str, tracker: str, track: str, secret: Path | None = None, *, organiser: bool = False) -> Exported:
    """Give the row of an entry to an experiment tracker, from what is stored; nothing is run.

    The run has the entry's version on this track for its identity: exported again, it takes the place of the run that
    is there, and another version (source or hyper-parameters) becomes another run.

    Args:
        name: of the entry on the board.
        tracker: ``mlflow`` or ``wandb``; which server, project and credentials, their own variables say.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        organiser: of a sealed track, also give what its participants must not see.

    Raises:
        BenchError: unknown track, entry or tracker, an entry without a row, a tracker whose library is not installed,
            or that did not take the run.
    """
    references = References(load_track(track, secret), Snapshot())
    sealed = references.track.sealed and not organiser
    details = public_details(references, name) if sealed else entry_details(references, name)
    if details.board_entry.name not in set(details.board["entry"]):
        what = f"{name} has no row on {references.track.name}: its outputs are not stored here"
        raise BenchError(what, "your command", "run it here, or name the store that has them with BENCH_HOME", USAGE)
    entry = details.board_entry
    source = entry_sources.find(references.store, next(iter(entry.records.values())))
    run = tracked_run(details, board.null(references), board.rows(references, [entry]), source)
    return contract.export(tracker, run)
