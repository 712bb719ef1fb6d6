"""Untimed units of entries, for the attacks that need other models than the track's: U-LiRA and SWAP."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import chain

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.executors import Executor, RunOptions
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import shadow_roles, swap_roles
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError
from unlearn_bench.harness.support.progress import Progress, span
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import disclosure, shadow_units, swap_units, yardstick_units
from unlearn_bench.harness.units.blame import BLAME
from unlearn_bench.harness.units.records import ShadowRecord
from unlearn_bench.harness.units.runner import Runner, UntimedResult
from unlearn_bench.harness.units.unit_kinds import Unit, YardstickUnit
from unlearn_bench.harness.workflows.training import train_missing

logger = logging.getLogger(__name__)


def needs_shadows(track: Track) -> None:
    """Raise ``BenchError`` unless the track declares a U-LiRA protocol."""
    if not track.protocol.lira_splits:
        raise BenchError(
            f"track {track.name} declares no U-LiRA protocol",
            "your command",
            "use a track that does (see `bench tracks`), or set protocol.lira_splits and lira_forget_sets in your own",
            USAGE,
        )


def run_shadows(
    references: References,
    entries: Sequence[Entry],
    executor: Executor,
    options: RunOptions,
    *,
    trusted: bool = False,
) -> list[ShadowRecord]:
    """Run the missing shadow units of entries, after a message on what they cost; missing shadow models are trained.

    An entry whose run failed is skipped unless ``options.again``. ``trusted``: what will run them is, so that results
    of a sandbox that was not are replaced. Ctrl-C keeps what is finished.

    Returns:
        One record per entry, in their order; entries without any are left out.

    Raises:
        BenchError: the track declares no U-LiRA protocol; the executor or a training failed.
    """
    track = references.track
    needs_shadows(track)
    train_missing(references, shadow_roles(track), executor, options)
    shadow_units.reference_rows(references)
    records = {entry.id: shadow_units.find(references, entry) for entry in entries}
    due = [entry for entry in entries if _is_due(records[entry.id], track, options, trusted)]
    if due:
        runner_context, line = executor.untimed(references, due)
        logger.info(line)
        with runner_context as runner:
            for entry, record in _run_shadows(references, due, runner, options):
                records[entry.id] = record
    return [record for record in records.values() if record is not None]


def _is_due(record: ShadowRecord | None, track: Track, options: RunOptions, trusted: bool) -> bool:
    """Return whether the shadow units of an entry with this record are to run."""
    if record is None or (trusted and not record.trusted):
        return True
    if record.status != "ok":
        return options.again
    return record.pairs != track.protocol.lira_splits // 2 and record.narrow != options.narrow


def _run_shadows(
    references: References, entries: Sequence[Entry], runner: Runner, options: RunOptions
) -> list[tuple[Entry, ShadowRecord]]:
    yardsticks = {entry.id: yardstick_units.pending(references, entry) for entry in entries}
    pending = {entry.id: shadow_units.pending(references, entry, trusted=runner.trusted) for entry in entries}
    count = sum(map(len, pending.values()))
    costs = [shadow_units.estimate(references, units, runner) for units in pending.values()]
    cost = "" if None in costs else f": about {span(sum(seconds for seconds in costs if seconds is not None))}"
    logger.info("U-LiRA: %d shadow units, %d at a time%s", count, runner.at_once, cost)
    total, records = references.track.protocol.lira_splits // 2, []
    with options.observer.progress("shadow units", count + sum(map(len, yardsticks.values())), "units") as progress:
        for entry in entries:
            record = _run_entry(references, entry, yardsticks[entry.id], runner, options, progress)
            records.append((entry, record))
            result_text = disclosure.disclosed_status(references.track, record.status, record.reason)
            progress.line(f"{entry.name}: {result_text}, {record.pairs} of {total} pairs of splits")
    return records


def _run_entry(
    references: References,
    entry: Entry,
    yardsticks: Sequence[YardstickUnit],
    runner: Runner,
    options: RunOptions,
    progress: Progress,
) -> ShadowRecord:
    for unit, result in yardstick_units.measure(references, yardsticks, runner):
        progress.step()
        if result.status != "ok":
            return shadow_units.failed(references, entry, runner, unit, result)
    return shadow_units.run(references, entry, runner, options.narrow, lambda unit, result: progress.step())


def run_swaps(
    references: References,
    entries: Sequence[Entry],
    executor: Executor,
    options: RunOptions,
    *,
    trusted: bool = False,
) -> None:
    """Run the missing swapped units of entries; missing originals for them are trained. The first failure ends the run.

    A method that does not apply to the track's network is no failure. ``trusted``: as for :func:`run_shadows`.

    Raises:
        BenchError: a unit failed; the executor or a training failed.
    """
    train_missing(references, swap_roles(references.track), executor, options)
    pending = [unit for entry in entries for unit in swap_units.pending(references, entry, options.again, trusted)]
    if not pending:
        return
    yardsticks = [unit for entry in entries for unit in yardstick_units.pending(references, entry)]
    runner_context, line = executor.untimed(references, entries)
    logger.info(line)
    with (
        runner_context as runner,
        options.observer.progress("swapped units", len(yardsticks) + len(pending), "units") as progress,
    ):
        measured = yardstick_units.measure(references, yardsticks, runner)
        for unit, result in chain[tuple[Unit, UntimedResult]](measured, swap_units.run(references, pending, runner)):
            progress.step()
            label = unit.entry.name if unit.track.sealed else unit.label
            result_text = disclosure.disclosed_status(unit.track, result.status, result.reason)
            progress.line(f"{label} {result_text}")
            if result.status not in ("ok", "not-applicable"):
                whose, remedy = BLAME[result.status]
                raise BenchError(f"{label}: {result_text}", whose, remedy, EXIT_CODES[result.status])
