"""A function of this process takes the place of a submission: every step of ``bench submit`` but sandbox and clock."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.executors import Executor, RunOptions, connected
from unlearn_bench.harness.executors.local import LocalExecutor
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import shadow_roles, swap_roles
from unlearn_bench.harness.store.store import ScratchStore
from unlearn_bench.harness.support.hardware import hardware
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure, unit_store
from unlearn_bench.harness.units.behaviour import behaviour
from unlearn_bench.harness.units.in_process import InProcessRunner, environment, function_entry
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.runner import Runner
from unlearn_bench.harness.units.sandbox_choice import device_name
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.harness.units.unit_run import unit_record
from unlearn_bench.harness.workflows.submit import Submitted, not_shipped_name, result
from unlearn_bench.harness.workflows.training import open_references, train_missing
from unlearn_bench.harness.workflows.untimed import needs_shadows, run_shadows, run_swaps
from unlearn_bench.sandbox.types import Outcome

logger = logging.getLogger(__name__)


class _InThisProcess(LocalExecutor):
    """The local executor, except that untimed units run in this process."""

    def untimed(self, references: References, entries: Sequence[Entry]) -> tuple[AbstractContextManager[Runner], str]:
        """Run the units of a function here."""
        return nullcontext(InProcessRunner(references, device_name(self._gpu))), "untimed units: in this process"


def evaluate(
    function: Callable[..., Any],
    track: str,
    options: RunOptions,
    *,
    name: str | None = None,
    seeds: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    lira: bool = False,
    swap: bool = False,
) -> Submitted:
    """Run a function on the model seeds of a track, and place it on the board, which stays as it was in the store.

    It runs in this process: without isolation, and without a clock, so that it has no speed.

    Args:
        function: ``unlearn(model, retain, forget, val, *, …)``, as in a submission.
        track: a track's name, or the path of a TOML file.
        options: where reference models that are missing are trained, the GPU, the observer.
        name: on the board; default: the function's own.
        seeds: run only the first so many model seeds; a position needs all.
        parameters: keyword arguments of the function.
        lira: also run its shadow units.
        swap: also run its swapped units.

    Raises:
        BenchError: the function breaks the contract of submissions, or has the name of a shipped method; a sealed
            track. What the function itself raises is not caught.
    """
    loaded_track = load_track(track, options.secret)
    disclosure.not_public(loaded_track, "a function of one's own")
    if lira:
        needs_shadows(loaded_track)
    entry = function_entry(function, name).with_parameters(parameters or {})
    not_shipped_name(entry, "pass another name=…")
    logger.warning(
        "%s runs in this process, without isolation and without a clock: it has no speed, and nothing is stored",
        entry.name,
    )
    with connected(options) as executor:
        references = open_references(loaded_track, executor, options)
        roles = [*(shadow_roles(loaded_track) if lira else []), *(swap_roles(loaded_track) if swap else [])]
        train_missing(references, roles, executor, options)
    with tempfile.TemporaryDirectory(prefix="unlearn-bench-") as folder:
        scratch, here = References(loaded_track, ScratchStore(Path(folder))), _InThisProcess(options)
        count = min(seeds or loaded_track.protocol.seeds, loaded_track.protocol.seeds)
        records = _run_seeds(scratch, [SeedUnit(entry, loaded_track, seed) for seed in range(count)], here, options)
        shadow = run_shadows(scratch, [entry], here, options)[0] if lira else None
        if swap:
            run_swaps(scratch, [entry], here, options)
        return result(scratch, entry, records, shadow)


def _run_seeds(
    references: References, units: Sequence[SeedUnit], executor: Executor, options: RunOptions
) -> dict[int, Record]:
    runner_context, _ = executor.untimed(references, [])
    device, machine, store, records = device_name(options.gpu), hardware(), references.store, {}
    with runner_context as runner, options.observer.progress("units", len(units), "units") as progress:
        for unit, unit_result in runner.run(units, 0.0):
            assert unit_result.logits is not None
            logits = store.put(unit_store.pack(unit_result.logits))
            outcome = Outcome("ok", cpu_seconds=unit_result.cpu_seconds, environment=environment(device))
            record = replace(
                unit_record(unit, outcome, logits, runner.trusted, machine),
                behaviour=behaviour(references, unit, unit_result.logits, unit_result.weight_shift),
            )
            record.save(store)
            records[unit.seed] = record
            progress.step()
    return records
