"""``bench verify``: run a published unit again."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_bench.harness.entries.entry import find_entry
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board_entries, review, verification
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.workflows.timed import failure, open_context, run_units


@dataclass(frozen=True)
class Verified:
    """A published unit beside the same unit run again."""

    name: str
    track: Track
    published: Record
    again: Record
    rerun: review.Rerun
    """The verdict, as it is kept."""
    differences: list[verification.RerunDifference]
    """One for each number that both runs have."""
    why: str
    """What the verdict rests on."""

    @property
    def exit_code(self) -> int:
        """0 consistent, 14 inconsistent, 15 cannot tell."""
        return verification.EXIT_CODES[self.rerun.verdict]


def verify(name: str, seed: int, track: str, options: RunOptions) -> Verified:
    """Run one unit of an entry again, judge the difference to what was published, and mark the row with the verdict.

    Args:
        name: of an entry on the board, or the path of its file.
        seed: the model seed of the unit.
        track: a track's name, or the path of a TOML file.
        options: how to run it.

    Raises:
        BenchError: the unit was not published, the file is not the published one, or the machine failed.
    """
    loaded_track = load_track(track, options.secret)
    references = References(loaded_track, Store())
    entry_from_file = find_entry(name) if name.endswith(".py") else None
    board_entry = board_entries.find(references, entry_from_file.name if entry_from_file else name)
    published = verification.published(board_entry, seed)
    entry = verification.entry_of(references, board_entry, entry_from_file)
    with connected(options) as executor:
        context = open_context(loaded_track, executor, options)
        (again,) = run_units(context, [SeedUnit(entry, loaded_track, seed)], executor, options, keep=False)
    if again.status == "infra":
        raise failure(references.store, loaded_track, again)
    rerun, differences, why = verification.judge(context.references, board_entry, published, again)
    review.keep(context.references, published, rerun)
    return Verified(board_entry.name, loaded_track, published, again, rerun, differences, why)
