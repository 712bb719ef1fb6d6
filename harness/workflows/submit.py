"""``bench submit``: a method runs on every model seed, and takes its place on the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unlearn_bench.harness.entries.entry import Entry, has_shipped_name, require_allowed, submission
from unlearn_bench.harness.entries.parameter_types import require_types
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import attack_panel, board, board_entries
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure, promotions, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.harness.units.tuning import tuned
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.workflows import probing, versions
from unlearn_bench.harness.workflows.timed import failure, open_context, run_seeds
from unlearn_bench.harness.workflows.untimed import needs_shadows, run_shadows, run_swaps
from unlearn_bench.scoring.gate import GateResult


@dataclass(frozen=True)
class Submitted:
    """Result of a submission."""

    entry: Entry
    track: Track
    version: BoardEntry | None
    """What ran, as a version of the entry; ``None`` if no unit left a record."""
    standing: BoardEntry | None
    """The version that stands under the entry's name; another one than ``version`` if this was an experiment."""
    records: Mapping[int, Record]
    """The records of the requested seeds that have one, by seed."""
    shadow: ShadowRecord | None
    """The record of its shadow units, if they were requested and no seed failed."""
    board: pd.DataFrame
    """The track's board, see :func:`harness.results.board.board`, with what ran as the row of its name."""
    null: Mapping[str, float]
    """Every metric between two retrained models."""
    gate: Sequence[GateResult] | None
    """Readings of the cheap attacks; ``None`` if the entry is not on the board, or they may not be shown."""
    failure: BenchError | None
    """Why the first failed unit failed; ``None`` if none did."""

    @property
    def listed(self) -> bool:
        """Whether what ran is on the board."""
        return self.version is not None and bool((self.board["entry"] == self.entry.name).any())

    @property
    def experiment(self) -> bool:
        """Whether another version than what ran stands under its name."""
        ids = [None if version is None else version.entry_id for version in (self.version, self.standing)]
        return self.version is not None and ids[0] != ids[1]


def submit(
    path: Path,
    track: str,
    options: RunOptions,
    *,
    seeds: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    lira: bool = False,
    swap: bool = False,
    probes: bool = False,
) -> Submitted:
    """Check a submission, run its units that have no record, and score it.

    A complete run with the parameters of a search, or the defaults, takes the entry's row, unless another source stands
    there. Anything else is an experiment, which changes no row, see ``harness.workflows.versions``.

    Args:
        path: the submission: a Python file, a folder of several where the track allows it, or the name of a method
            that an installed package adds.
        track: a track's name, or the path of a TOML file.
        options: how to run it.
        seeds: run only the first so many model seeds; a position needs all.
        parameters: hyper-parameters, on top of those that ``bench tune`` chose for this file on this track.
        lira: also run its shadow units.
        swap: also run its swapped units.
        probes: also run the probes on its models.

    Raises:
        BenchError: the submission is invalid, it has the name of a shipped method, the quota of a sealed track is used
            up, or the machine failed. A unit of the entry that failed is reported in the result.
    """
    source = submission(path)
    require_types(source, parameters or {})
    not_shipped_name(source, "rename the file")
    loaded_track, store = load_track(track, options.secret), Store()
    if lira:
        needs_shadows(loaded_track)
    if seeds is not None:
        disclosure.not_public(loaded_track, "a part of the seeds")
    require_allowed(source, loaded_track)
    disclosure.within_quota(store, source, loaded_track)
    plain = tuned(source, loaded_track, store)
    entry = plain.with_parameters(parameters or {})
    count = min(seeds or loaded_track.protocol.seeds, loaded_track.protocol.seeds)
    with connected(options) as executor:
        missing = any(unit_store.find(store, SeedUnit(entry, loaded_track, seed)) is None for seed in range(count))
        untried = entry if missing else None
        context = open_context(loaded_track, executor, options, hold_weights=probes, untried=untried)
        references = context.references
        if probes:
            probing.require_references(references, again=options.again)
        versions.pin(references, entry)
        lacking = probing.lacking(references, options, probes)
        records = run_seeds(context, entry, range(count), executor, options, lacking)
        if probes:
            probing.run_probes(references, list(records.values()), options)
        failed = any(record.status != "ok" for record in records.values())
        shadow = None
        if lira and not failed:
            attacked = tuned(source, loaded_track, store, "shadow").with_parameters(parameters or {})
            promotions.attack(store, loaded_track, entry.id, attacked.id)
            (shadow,) = run_shadows(references, [attacked], executor, options, trusted=context.sandbox.trusted)
        if swap and not failed:
            run_swaps(references, [entry], executor, options, trusted=context.sandbox.trusted)
    if entry.id == plain.id:
        versions.settle(references, [entry])
    return result(references, entry, records, shadow)


def not_shipped_name(entry: Entry, remedy: str) -> None:
    """Raise ``BenchError`` if an entry has the name of a shipped method that it is not."""
    if has_shipped_name(entry.name) and entry.kind == "entry":
        what = f"{entry.name} is the name of a shipped method, and this is another one"
        raise BenchError(what, "your command", remedy, USAGE)


def result(
    references: References, entry: Entry, records: Mapping[int, Record], shadow: ShadowRecord | None
) -> Submitted:
    """Return the place of an entry whose records are in the store of ``references``."""
    track, store = references.track, references.store
    failed = [record for record in records.values() if record.status != "ok"]
    ran = board_entries.versions(references).get(entry.name, [])
    version = next((each for each in ran if each.entry_id == entry.id), None)
    results = board.read_results(references, version)
    hidden = track.sealed and failed  # which seeds are left is the entry's own choice
    first_failure = failed[0] if failed else shadow if shadow is not None and shadow.status != "ok" else None
    return Submitted(
        entry=entry,
        version=version,
        standing=board_entries.find(references, entry.name) if ran else None,
        track=track,
        records=records,
        shadow=shadow,
        board=board.board(references, results=results),
        null=board.null(references),
        gate=None if version is None or hidden else attack_panel.gate(references, version),
        failure=None if first_failure is None else failure(store, track, first_failure),
    )
