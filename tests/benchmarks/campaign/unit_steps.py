"""Units of the methods: on every model seed, first side by side, then on the clock; and on U-LiRA's shadow splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tests.benchmarks.campaign import costs
from tests.benchmarks.campaign.models import Search
from tests.benchmarks.campaign.step import Left, Step
from unlearn_bench.harness.entries.entry import Entry, baseline
from unlearn_bench.harness.references.roles import Role, shadow_roles
from unlearn_bench.harness.support.hardware import hardware, torch_version
from unlearn_bench.harness.units import shadow_units, timed_units, unit_store
from unlearn_bench.harness.units.runner import Runner, UntimedResult, deadline
from unlearn_bench.harness.units.sandbox_choice import device_name
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit
from unlearn_bench.harness.units.unit_run import unit_record
from unlearn_bench.harness.workflows.timed import run_units
from unlearn_bench.sandbox.types import Outcome

LATE = 600.0
"""Seconds that an untimed unit may take at least, since several share a device."""


class _AfterSearch(Step):
    """Units of methods, which wait for the parameters."""

    counted: ClassVar = "units"

    def obstacle(self) -> str:
        return "the search is not finished" if Search(self.run, self.references).pending() else ""


class SeedUnits(_AfterSearch):
    """Every method on every model seed, several at a time and so without a time; the board has all but speeds then."""

    title: ClassVar = "seed units"

    def total(self) -> int:
        return len(self._rows()) * self.references.track.protocol.seeds

    def pending(self) -> int:
        return len(self.units())

    def seconds(self) -> float | None:
        each = costs.unit(self.references, self.run.gpu)
        return None if each is None else self.pending() * each / costs.at_once(self.run.gpu)

    def models(self) -> Sequence[Role]:
        return list(dict.fromkeys(unit.original for unit in self.units()))

    def units(self) -> list[SeedUnit]:
        """Return the pending units, seed by seed; an entry of which one has failed has none."""
        references = self.references
        seeds = range(references.track.protocol.seeds)
        todo = [
            unit
            for entry in self._rows()
            for unit in timed_units.pending(references.store, entry, references.track, seeds, lacking=self.lacking)
        ]
        return sorted(todo, key=lambda unit: unit.seed)

    def lacking(self, unit: SeedUnit) -> bool:
        """Return whether a unit with a record has to run nevertheless."""
        return False

    def work(self, left: Left) -> None:
        for seed in list(dict.fromkeys(unit.seed for unit in self.units())):
            if not self.train([Role("original", seed)], left):
                return
            self._run([unit for unit in self.units() if unit.seed == seed])

    def _rows(self) -> list[Entry]:
        return [*self.entries(), baseline("original")]

    def _run(self, units: Sequence[SeedUnit]) -> None:
        context, _ = self.run.executor.untimed(self.references, [unit.entry for unit in units])
        limit = max(LATE, deadline(self.references, units[0]))
        with context as runner, self.run.options.observer.progress(self.title, len(units), "units") as progress:
            for unit, result in runner.run(units, limit):
                if result.status != "infra":
                    self._keep(unit, result, runner)
                progress.step()

    def _keep(self, unit: SeedUnit, result: UntimedResult, runner: Runner) -> None:
        store = self.references.store
        logits = None if result.logits is None else store.put(unit_store.pack(result.logits))
        environment = {"backend": runner.backend, "torch": torch_version(), "device": device_name(self.run.options.gpu)}
        outcome = Outcome(
            result.status, result.reason, cpu_seconds=result.cpu_seconds, environment=environment, log=result.log
        )
        unit_record(unit, outcome, logits, runner.trusted, hardware()).save(store)


class TimedUnits(SeedUnits):
    """The same units in the sandbox and on the clock; their records take the place of the others."""

    title: ClassVar = "timed units"

    def lacking(self, unit: SeedUnit) -> bool:
        record = unit_store.find(self.references.store, unit)
        return record is not None and record.seconds is None

    def seconds(self) -> float | None:
        each, retrain = costs.unit(self.references, self.run.gpu), costs.retrain(self.references, self.run.gpu)
        if each is None or retrain is None:
            return None
        return self.pending() * each + (self.references.track.protocol.seeds * retrain if self.pending() else 0.0)

    def least(self) -> float:
        """Return the seconds of the two units of Retrain that come first, and of one unit."""
        each, retrain = costs.unit(self.references, self.run.gpu), costs.retrain(self.references, self.run.gpu)
        return 2 * (retrain or 0.0) + (each or 0.0)

    def obstacle(self) -> str:
        if waiting := super().obstacle():
            return waiting
        return "the seed units are not finished" if SeedUnits(self.run, self.references).pending() else ""

    def models(self) -> Sequence[Role]:
        """Return all originals: Retrain is timed on every seed."""
        return (
            [Role("original", seed) for seed in range(self.references.track.protocol.seeds)] if self.pending() else ()
        )

    def work(self, left: Left) -> None:
        if not self.train(self.models(), left):
            return
        executor = self.run.timed
        context, _ = executor.timed(self.references.track, lambda: self.references)
        run_units(context, self.units(), executor, self.run.options)


class ShadowUnits(_AfterSearch):
    """The shadow models and units of U-LiRA, split by split."""

    title: ClassVar = "shadow units"

    def total(self) -> int:
        protocol = self.references.track.protocol
        return len(self.run.methods) * protocol.lira_splits * protocol.lira_forget_sets

    def pending(self) -> int:
        return len(self._units())

    def seconds(self) -> float | None:
        each = costs.unit(self.references, self.run.gpu)
        model = costs.training(self.references, "shadow", self.run.gpu)
        if each is None or model is None:
            return None
        trained = self.references.manifest.roles
        models = sum(role.name not in trained for role in shadow_roles(self.references.track))
        side_by_side = 1 if self.run.gpu else costs.cores()
        return models * model / side_by_side + self.pending() * each / 2 / costs.at_once(self.run.gpu)

    def models(self) -> Sequence[Role]:
        return list(dict.fromkeys(unit.original for unit in self._units()))

    def work(self, left: Left) -> None:
        for split in list(dict.fromkeys(unit.seed for unit in self._units())):
            trained = self.references.manifest.roles
            of_split = [role for role in shadow_roles(self.references.track) if role.seed == split]
            if not self.train([role for role in of_split if role.kind == "shadow" or role.name not in trained], left):
                return
            self._run([unit for unit in self._units() if unit.seed == split])

    def _units(self) -> list[ShadowUnit]:
        """Return the pending units, split by split."""
        references, protocol = self.references, self.references.track.protocol
        entries = [entry for entry in self.entries("shadow") if shadow_units.find(references, entry) is None]
        units = [
            ShadowUnit(entry, references.track, split, forget_set)
            for split in range(protocol.lira_splits)
            for entry in entries
            for forget_set in range(protocol.lira_forget_sets)
        ]
        records = [(unit, unit_store.find(references.store, unit)) for unit in units]
        return [unit for unit, record in records if record is None or record.status != "ok"]

    def _run(self, units: Sequence[ShadowUnit]) -> None:
        references = self.references
        context, _ = self.run.executor.untimed(references, [unit.entry for unit in units])
        limit = max(LATE, deadline(references, units[0]))
        with context as runner, self.run.options.observer.progress(self.title, len(units), "units") as progress:
            for unit, result in runner.run(units, limit):
                if result.status != "infra":
                    shadow_units.keep_unit(references, unit, result, runner.trusted)
                    if result.status != "ok":
                        shadow_units.failed(references, unit.entry, runner, unit, result)
                progress.step()


class ShadowRows(_AfterSearch):
    """What attacks read of all shadow units of a method; this needs the files of all of them on one machine."""

    title: ClassVar = "rows of U-LiRA"
    counted: ClassVar = "rows"

    def total(self) -> int:
        return len(self.run.methods)

    def pending(self) -> int:
        return len(self._due())

    def seconds(self) -> float | None:
        return 0.0

    def obstacle(self) -> str:
        if ShadowUnits(self.run, self.references).pending():
            return "the shadow units are not finished"
        references, trained = self.references, self.references.manifest.roles
        lacking = sum(not references.store.has(trained[role.name].logits) for role in shadow_roles(references.track))
        lacking += sum(len(shadow_units.pending(references, entry)) for entry in self._due())
        return f"{lacking} files are on other machines" if lacking else ""

    def work(self, left: Left) -> None:
        shadow_units.reference_rows(self.references)
        context, _ = self.run.executor.untimed(self.references, self._due())
        with context as runner:
            for entry in self._due():
                shadow_units.run(self.references, entry, runner)

    def _due(self) -> list[Entry]:
        return [entry for entry in self.entries("shadow") if shadow_units.find(self.references, entry) is None]
