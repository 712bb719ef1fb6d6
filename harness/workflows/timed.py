"""Timed units of entries: where they run, running the missing ones, and the error for one that failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.executors import Executor, RunOptions
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import entry_sources, import_check, timed_units, unit_store
from unlearn_bench.harness.units.blame import BLAME
from unlearn_bench.harness.units.records import Record, ShadowRecord
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.harness.workflows.training import make_ready
from unlearn_bench.sandbox.types import Outcome

logger = logging.getLogger(__name__)


def open_context(
    track: Track,
    executor: Executor,
    options: RunOptions,
    *,
    hold_weights: bool = False,
    untried: Entry | None = None,
) -> UnitContext:
    """Return what the timed units of a track share: the sandbox, and the references, trained where they are missing.

    Args:
        track: of the units.
        executor: runs them.
        options: how they run.
        hold_weights: the weights of unlearned models are held for probes, see ``harness.units.unlearned_weights``.
        untried: an entry that is imported in the sandbox first, before anything is trained.

    Raises:
        BenchError: no usable sandbox, an entry that cannot be imported, a data set that is missing, a damaged store.
    """
    references = References(track, Store())
    context, line = executor.timed(track, lambda: references)
    logger.info(line)
    if untried is not None and context.elsewhere is None:
        _require_importable(context, untried, executor)
    make_ready(references, executor, options)
    return replace(context, keep_weights=options.keep_weights, hold_weights=hold_weights)


def _require_importable(context: UnitContext, entry: Entry, executor: Executor) -> None:
    track, store = context.references.track, context.references.store
    slot = replace(executor.slots(store)[0], timed=False)
    outcome = import_check.run(context, entry, slot)
    if outcome.status not in ("ok", "infra"):  # what the machine lost is tried again with the first unit
        raise _failure(store, track, entry.name, entry.id, "when imported", outcome)


def run_units(
    context: UnitContext,
    units: Sequence[SeedUnit],
    executor: Executor,
    options: RunOptions,
    *,
    keep: bool = True,
) -> list[Record]:
    """Run timed units and return their records, which are stored if ``keep``. Ctrl-C keeps what is finished.

    Raises:
        BenchError: Retrain, whose time the units are measured against, failed.
    """
    if not units:
        return []
    slots = executor.slots(context.references.store)
    return timed_units.run(context, units, slots, options.observer, keep=keep)


def run_seeds(
    context: UnitContext,
    entry: Entry,
    seeds: Sequence[int],
    executor: Executor,
    options: RunOptions,
    lacking: Callable[[SeedUnit], bool] = lambda unit: False,
) -> dict[int, Record]:
    """Run the units of an entry that have no record, and keep its source with them; return all records by seed.

    Finished units run again where they are ``lacking`` something that only a run gives, or where a sandbox is trusted
    that was not.

    Raises:
        BenchError: as :func:`run_units`.
    """
    store, track = context.references.store, context.references.track
    entry_sources.keep(store, entry)
    trusted = context.sandbox.trusted
    pending = timed_units.pending(store, entry, track, seeds, options.again, lacking, trusted=trusted)
    fresh = run_units(context, pending, executor, options)
    stored = [unit_store.find(store, SeedUnit(entry, track, seed)) for seed in seeds]
    records = {record.seed: record for record in [*(record for record in stored if record is not None), *fresh]}
    return dict(sorted(records.items()))


def failure(store: Store, track: Track, record: Record | ShadowRecord) -> BenchError:
    """Return the error for a unit that failed; its log is written to a file of the store.

    On a sealed track the error reveals only the status.
    """
    unit_name = f"seed {record.seed}" if isinstance(record, Record) else record.failed
    return _failure(store, track, record.name, record.entry, unit_name, record)


def _failure(
    store: Store, track: Track, name: str, entry_id: str, unit_name: str, ended: Record | ShadowRecord | Outcome
) -> BenchError:
    whose, remedy = BLAME[ended.status]
    if track.sealed:
        remedy = remedy if whose == "this machine" else "find it on a public track; a sealed one says no more"
        return BenchError(f"{name}: {ended.status}", whose, remedy, EXIT_CODES[ended.status])
    log = ""
    if ended.log:
        path = store.root / "logs" / f"{name}-{unit_name.replace(' ', '-')}-{entry_id[:8]}.txt"
        write_file(path, ended.log.encode() + b"\n")
        log = str(path)
    what = f"{name}, {unit_name}: {ended.status}: {ended.reason}"
    return BenchError(what, whose, remedy, EXIT_CODES[ended.status], log)
