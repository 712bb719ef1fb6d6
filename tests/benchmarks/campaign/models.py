"""Reference models, and the search for parameters on models of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tests.benchmarks.campaign import costs
from tests.benchmarks.campaign.step import Left, Step
from unlearn_bench.harness.entries.entry import Entry, baseline
from unlearn_bench.harness.references.roles import Role, roles, tuning_roles
from unlearn_bench.harness.units import tuning
from unlearn_bench.harness.workflows.tune import keep_choice, run_search

UNMEASURED = 3
"""Models that a GPU trains at first, before it is known what one takes."""


@dataclass(frozen=True)
class ReferenceModels(Step):
    """Originals and retrained models of the first seeds."""

    seeds: int

    title: ClassVar = "reference models"
    counted: ClassVar = "models"

    def total(self) -> int:
        return len(self._roles())

    def pending(self) -> int:
        return len(self._missing())

    def seconds(self) -> float | None:
        each = costs.training(self.references, "original", self.run.gpu)
        return None if each is None else self.pending() * each / (1 if self.run.gpu else costs.cores())

    def least(self) -> float:
        return self._starting() + costs.MARGIN * (costs.training(self.references, "original", self.run.gpu) or 0.0)

    def work(self, left: Left) -> None:
        while (missing := self._missing()) and (count := self._portion(left())):
            if not self.train(missing[:count], left):
                return

    def _portion(self, seconds: float) -> int:
        """Return how many models fit into this time; on a CPU a kill costs little, since models are kept one by one."""
        if not self.run.gpu:
            return self.total()
        if all(model.gpu_seconds is None for model in self.references.manifest.roles.values()):
            return UNMEASURED
        each = costs.training(self.references, "original", gpu=True)
        assert each is not None
        return max(0, int((seconds - self._starting()) / (costs.MARGIN * each)))

    def _starting(self) -> float:
        return costs.START if self.run.gpu else 0.0

    def _roles(self) -> list[Role]:
        in_order = sorted(roles(self.references.track), key=lambda role: role.seed)
        return [role for role in in_order if role.seed < self.seeds]

    def _missing(self) -> list[Role]:
        """Return the models that were never trained. One whose weights are elsewhere is trained when units need it."""
        trained = self.references.manifest.roles
        return [role for role in self._roles() if role.name not in trained]


class Search(Step):
    """The search for every method's parameters."""

    title: ClassVar = "search"
    counted: ClassVar = "trials"

    def total(self) -> int:
        return sum(map(self._budget, self._entries()))

    def pending(self) -> int:
        return sum(map(self._missing, self._entries()))

    def seconds(self) -> float | None:
        each = costs.unit(self.references, self.run.gpu)
        units = self.pending() * self.references.track.analysis.tuning_seeds
        return None if each is None else units * each / costs.at_once(self.run.gpu)

    def models(self) -> Sequence[Role]:
        return tuning_roles(self.references.track) if self.pending() else ()

    def work(self, left: Left) -> None:
        references, executor, options = self.references, self.run.executor, self.run.options
        if not self.train(self.models(), left):
            return
        line = ""
        for entry in self._entries():
            if not self._missing(entry):
                continue
            study = tuning.Study(references, entry)
            line = run_search(study, self._budget(entry), executor, options, line)
            keep_choice(references, entry, study.choice(), tuning.place(entry, references.track, "seed", "paper"))

    def _entries(self) -> list[Entry]:
        methods = [baseline(name) for name in self.run.methods]
        return [method for method in methods if method.search_space]

    def _budget(self, entry: Entry) -> int:
        return self.run.trials or tuning.budget(entry, self.references.track)

    def _missing(self, entry: Entry) -> int:
        """Return how many trials are left; the last one counts as long as the choice is not kept."""
        references, budget = self.references, self._budget(entry)
        choice = tuning.choice(entry.name, entry.sha256, references.track, references.store)
        if choice is not None and choice.trials >= budget:
            return 0
        return max(1, budget - tuning.finished_trials(references, entry))
