"""The executor ``local``: units and trainings run on this machine, on its cores or on one of its GPUs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training.plan import TrainingPlan
from unlearn_bench.harness.training.run import local_processes
from unlearn_bench.harness.units.runner import Runner
from unlearn_bench.harness.units.sandbox_choice import choose_sandbox, device_name, devices
from unlearn_bench.harness.units.sandbox_runner import SandboxRunner
from unlearn_bench.harness.units.slots import Slot, timed_slots
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.harness.units.worker_runner import WorkerRunner

if TYPE_CHECKING:
    from unlearn_bench.harness.training.task import TrainedModel


class LocalExecutor:
    """Runs everything on this machine; see :class:`harness.executors.Executor`."""

    def __init__(self, options: RunOptions) -> None:
        if options.address is not None:
            what = "--address is that of a cluster, and the executor local has none"
            raise BenchError(what, "your command", "add --executor ray, or leave it out", USAGE)
        self._sandbox, self._gpu = options.sandbox, options.gpu

    def timed(self, track: Track, open_references: Callable[[], References]) -> tuple[UnitContext, str]:
        """Choose the sandbox, then open the references."""
        backend, line = choose_sandbox(track, self._sandbox, self._gpu)
        return UnitContext(open_references(), backend, run_id=secrets.token_hex(8)), line

    def slots(self, store: Store) -> Sequence[Slot]:
        """Return a slot per core, or what this machine's cores and its GPU allow."""
        return timed_slots(store, device_name(self._gpu))

    def untimed(self, references: References, entries: Sequence[Entry]) -> tuple[AbstractContextManager[Runner], str]:
        """Run shipped methods in worker processes, since their source is known, and all others in sandboxes.

        Shipped methods also run in sandboxes if the options name one.
        """
        if self._sandbox == "auto" and all(entry.kind != "entry" for entry in entries):
            where = devices([] if self._gpu is None else [self._gpu])
            line = "untimed units of shipped methods: in worker processes, without a sandbox"
            return WorkerRunner(references.track, *where), line
        backend, line = choose_sandbox(references.track, self._sandbox, self._gpu)
        context = UnitContext(references, backend, run_id=secrets.token_hex(8))
        return nullcontext(SandboxRunner(context, device_name(self._gpu))), line

    def trainings(self, gpu: bool) -> None:
        """Let the plan decide: a process per core or GPU."""

    def train(
        self, references: References, plan: TrainingPlan, on_progress: Callable[[int], None]
    ) -> Generator[list[TrainedModel]]:
        """Train in processes of this machine."""
        return local_processes(references, plan, on_progress)

    def close(self) -> None:
        """Do nothing: this executor holds no resources."""


connect = LocalExecutor
