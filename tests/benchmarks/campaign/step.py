"""One kind of work on one track: how much of it is left, what it needs and takes, and doing it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.benchmarks.campaign import costs
from unlearn_bench.harness.entries.entry import Entry, baseline
from unlearn_bench.harness.executors import Executor, RunOptions
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.support.progress import span
from unlearn_bench.harness.units.records import record_kind, track_folder
from unlearn_bench.harness.units.tuning import Setting, tuned
from unlearn_bench.harness.units.unit_kinds import ShadowUnit
from unlearn_bench.harness.units.unit_store import seed_records
from unlearn_bench.harness.workflows.training import train_missing

logger = logging.getLogger(__name__)

Left = Callable[[], float]
"""Returns the seconds that are left."""


@dataclass(frozen=True)
class Run:
    """What all steps share."""

    executor: Executor
    """Trains models, and runs untimed units: those of shipped methods in worker processes."""
    timed: Executor
    """Runs timed units in the sandbox that was asked for."""
    options: RunOptions
    methods: tuple[str, ...]
    trials: int | None
    """Trials of a search; ``None``: as many as the track allows."""

    @property
    def gpu(self) -> bool:
        return self.options.gpu is not None


@dataclass(frozen=True)
class Step(ABC):
    """Work of one kind. What is stored is done; a kill at any moment loses what was running, and nothing else."""

    run: Run
    references: References

    title: ClassVar[str]
    counted: ClassVar[str]
    """What is counted, in the plural."""

    @abstractmethod
    def total(self) -> int:
        """Return how many there are, of what is counted."""

    @abstractmethod
    def pending(self) -> int:
        """Return how many of them are still to be done."""

    @abstractmethod
    def seconds(self) -> float | None:
        """Return about how long the pending ones take; ``None`` where that is not known."""

    @abstractmethod
    def work(self, left: Left) -> None:
        """Do what is pending; may return early where the next portion does not fit into the seconds that are left."""

    def least(self) -> float:
        """Return the seconds without which it is of no use to begin."""
        return 0.0

    def obstacle(self) -> str:
        """Return why it cannot begin yet; empty if it can."""
        return ""

    def models(self) -> Sequence[Role]:
        """Return the models whose weights, or outputs, pending work reads, those that it reads first in front."""
        return ()

    def entries(self, setting: Setting = "seed") -> list[Entry]:
        """Return the methods as they are run: with the parameters that a search chose."""
        references = self.references
        return [tuned(baseline(name), references.track, references.store, setting) for name in self.run.methods]

    def train(self, roles: Sequence[Role], left: Left) -> bool:
        """Train the models that are not on this machine; return whether there was time for that on a GPU.

        A model that was trained before and whose weights did not come along may come out differently. Units that ran on
        it are then to be run again, so that all units of an original have run on the same model.
        """
        earlier = self.references.manifest.roles
        if self.run.gpu and (missing := self.references.missing(roles)):
            seconds = sum(costs.training(self.references, role.kind, gpu=True) or 0.0 for role in missing)
            if costs.START + costs.MARGIN * seconds > left():
                logger.info("there is no time left for %d models, which take %s", len(missing), span(seconds))
                return False
        train_missing(self.references, roles, self.run.executor, self.run.options)
        trained = self.references.manifest.roles
        for role in roles:
            if role.name in earlier and earlier[role.name].logits != trained[role.name].logits:
                outdated = _resting_on(self.references, role)
                logger.info("%s came out differently: %d units on it are to be run again", role.name, len(outdated))
                for path in outdated:
                    path.unlink()
        return True


def _resting_on(references: References, role: Role) -> list[Path]:
    """Return the records in the user's store of units that started on this model."""
    root, track = references.store.root, references.track
    if role.kind == "shadow":
        return sorted((root / ShadowUnit.folder / track_folder(track)).glob(f"*/{role.seed}-*.json"))
    if role.kind != "original":
        return []
    folder = root / record_kind(track.reference_digest, track.protocol_digest)
    records = seed_records(references.store, track)
    paths = [folder / f"{r.key}.json" for r in records if r.seed == role.seed and r.name != "retrain"]
    return [path for path in paths if path.is_file()]
