"""``bench baselines``: the shipped methods on a track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unlearn_bench.harness.entries.entry import ORACLE_FREE, Entry, baseline, baseline_names
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board
from unlearn_bench.harness.results.shipping import export_records
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure, timed_units, unit_store
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.harness.units.tuning import tuned, variant
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.workflows import probing, versions
from unlearn_bench.harness.workflows.literature import literature_table
from unlearn_bench.harness.workflows.timed import failure, open_context, run_units
from unlearn_bench.harness.workflows.untimed import needs_shadows, run_shadows, run_swaps


@dataclass(frozen=True)
class BaselinesRun:
    """Results of the shipped methods on a track."""

    track: Track
    board: pd.DataFrame
    """The track's board, see :func:`harness.results.board.board`."""
    null: Mapping[str, float]
    """Every metric between two retrained models."""
    exported: int | None
    """How many records were exported; ``None`` if no export was asked for."""
    failure: BenchError | None
    """Why the first failed unit failed; ``None`` if none did. A method that does not apply to the network has not."""


def run_baselines(
    names: Sequence[str],
    track: str,
    options: RunOptions,
    *,
    lira: bool = False,
    swap: bool = False,
    probes: bool = False,
    export: Path | None = None,
    export_logits: bool = True,
) -> BaselinesRun:
    """Run the units of shipped methods that have no record, and score them.

    Args:
        names: of the methods, or of their variants; none: all of both.
        track: a track's name, or the path of a TOML file.
        options: how to run them; ``again`` also runs units that have a record.
        lira: also run their shadow units.
        swap: also run their swapped units.
        probes: also run the probes on their models.
        export: a folder to write the records to, as they ship.
        export_logits: write logits as well; without, what pages show of them.

    Raises:
        BenchError: an unknown name, or the machine failed. A unit that failed is reported in the result.
    """
    loaded_track, store = load_track(track, options.secret), Store()
    if export is not None:
        disclosure.not_public(loaded_track, "--export")
    if lira:
        needs_shadows(loaded_track)
    entries = [entry for entry in _entries(names, loaded_track, store) if entry.name != "retrain"]  # is timed anyway
    attackable = [entry for entry in entries if entry.name != "original"]
    seeds = range(loaded_track.protocol.seeds)
    with connected(options) as executor:
        context = open_context(loaded_track, executor, options, hold_weights=probes)
        references = context.references
        if probes:
            probing.require_references(references, again=options.again)
        lacking = probing.lacking(references, options, probes)
        trusted, units = context.sandbox.trusted, list[SeedUnit]()
        for entry in entries:
            if options.again:
                units += [SeedUnit(entry, loaded_track, seed) for seed in seeds]
            else:
                units += timed_units.pending(store, entry, loaded_track, seeds, lacking=lacking, trusted=trusted)
        records: list[Record | ShadowRecord] = [*run_units(context, units, executor, options)]
        if probes:
            every = [unit_store.find(store, SeedUnit(entry, loaded_track, seed)) for entry in entries for seed in seeds]
            probing.run_probes(references, [record for record in every if record is not None], options)
        if lira:
            methods = [entry for entry in attackable if entry.kind != "variant"]
            attacked = [tuned(baseline(entry.name), loaded_track, store, "shadow") for entry in methods]
            attacked += [entry for entry in attackable if entry.kind == "variant"]
            records += run_shadows(references, attacked, executor, options)
        if swap:
            run_swaps(references, attackable, executor, options)
    versions.settle(references, entries)
    failed = next((record for record in records if record.status not in ("ok", "not-applicable")), None)
    return BaselinesRun(
        track=loaded_track,
        board=board.board(references),
        null=board.null(references),
        exported=None if export is None else _export(references, track, export, options, logits=export_logits),
        failure=None if failed is None else failure(store, loaded_track, failed),
    )


def _export(references: References, track: str, folder: Path, options: RunOptions, *, logits: bool) -> int:
    if not logits:  # pages show the literature's numbers, which come from logits
        literature_table(track, options.secret, options.observer)
    return export_records(references, Store(folder, behind=None), logits=logits)


def _entries(names: Sequence[str], track: Track, store: Store) -> list[Entry]:
    """Return the named methods and variants with what searches chose for them; without names all that there are."""
    if not names:
        methods = [baseline(name) for name in baseline_names()]
        variants = [variant(method, track, store) for method in methods]
        return [tuned(method, track, store) for method in methods] + [each for each in variants if each is not None]
    chosen: list[Entry] = []
    for name in names:
        method = baseline(name.removesuffix(ORACLE_FREE))
        entry = variant(method, track, store) if name.endswith(ORACLE_FREE) else tuned(method, track, store)
        if entry is None:
            remedy = f"bench tune {method.name} --track {track.name} --objective oracle-free"
            what = f"no search without retrained models has chosen other parameters for {method.name}"
            raise BenchError(what, "your command", remedy, USAGE)
        chosen.append(entry)
    return chosen
