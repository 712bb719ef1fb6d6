"""Units of Retrain that a command has to measure, and those of its entries, run in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.progress import Unobserved
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import timed_units, unit_run, unit_store
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit, Unit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox import backends


class Machine:
    """Ten seeds of a track on a machine where a unit takes no time and is kept under a back end of its own."""

    def __init__(self) -> None:
        self.references = References(load_track("digits-resnet18"), Store())
        self.ran: list[tuple[str, int]] = []
        self.meanwhile: Callable[[str, int], str] = lambda name, seed: "ok"
        """Happens within a unit, and returns its status."""
        self.source = baseline("ft").source
        self._example = next(iter(unit_store.seed_records(self.references.store, self.references.track)))

    def run(self, context: UnitContext, unit: Unit, slot: Slot, deadline: float) -> Record:
        self.ran.append((unit.entry.name, unit.seed))
        status = self.meanwhile(unit.entry.name, unit.seed)
        seconds = 10.0 + unit.seed if unit.entry.name == "retrain" else 1.0
        return replace(
            self._example,
            key=unit.key,
            entry=unit.entry.id,
            name=unit.entry.name,
            seed=unit.seed,
            status=status,
            seconds=seconds,
            retrain_seconds=None,
            environment={"backend": "a test's"},
        )

    def submit(self, seeds: Sequence[int] = range(10), slots: int = 1, lr: float = 0.123) -> dict[int, Record]:
        """Run the units of an entry; only its records are returned, by seed."""
        self.ran = []
        context = UnitContext(self.references, backends.load("process"), "x")
        entry = replace(baseline("ft"), name="mine", source=self.source).with_parameters({"lr": lr})
        todo = [SeedUnit(entry, self.references.track, seed) for seed in seeds]
        todo = [unit for unit in todo if unit_store.find(self.references.store, unit) is None]
        records = timed_units.run(context, todo, [Slot()] * slots, Unobserved())
        return {record.seed: record for record in records}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, retrain_looked_at: None) -> Machine:
    machine = Machine()
    monkeypatch.setattr(unit_run, "run", machine.run)
    return machine


@pytest.fixture
def submission(machine: Machine) -> Machine:
    """The same where the entry does not ship."""
    machine.source += b"# not the shipped one"
    return machine


def both(seed: int) -> list[tuple[str, int]]:
    return [("retrain", seed), ("mine", seed)]


LOOK = [("retrain", 0), ("retrain", 1)]


def test_each_seed_of_an_entry_follows_that_of_retrain(machine: Machine) -> None:
    records = machine.submit()
    expected = [*LOOK, ("mine", 0), ("mine", 1), *(each for seed in range(2, 10) for each in both(seed))]
    assert machine.ran == expected
    assert [records[seed].rte for seed in range(10)] == [10.0 + seed for seed in range(10)]


def test_where_retrains_times_are_kept_two_seeds_of_it_run_first(machine: Machine) -> None:
    machine.submit(range(10))
    machine.submit([4], lr=0.5)
    assert machine.ran == [*LOOK, ("mine", 4)]


def test_retrain_is_timed_on_the_seeds_that_a_command_runs(machine: Machine) -> None:
    machine.submit(range(2))
    assert machine.ran == [*LOOK, ("mine", 0), ("mine", 1)]
    records = machine.submit([4])
    assert machine.ran == [*LOOK, *both(4)]
    assert records[4].rte == 14.0
    machine.submit([0, 1, 4], lr=0.5)
    assert machine.ran == [*LOOK, ("mine", 0), ("mine", 1), ("mine", 4)], "times of both commands are kept"


def test_the_first_unit_of_a_submission_runs_before_retrain(submission: Machine) -> None:
    records = submission.submit()
    expected = [("mine", 0), *LOOK, ("mine", 1), *(each for seed in range(2, 10) for each in both(seed))]
    assert submission.ran == expected
    assert [records[seed].rte for seed in range(10)] == [10.0 + seed for seed in range(10)]


def test_a_submission_that_fails_at_once_costs_one_unit(submission: Machine) -> None:
    submission.meanwhile = lambda name, seed: "crash"
    assert [record.status for record in submission.submit().values()] == ["crash"]
    assert submission.ran == [("mine", 0)]


def test_a_first_unit_that_exceeds_the_least_deadline_runs_again_once_retrain_is_timed(submission: Machine) -> None:
    submission.meanwhile = lambda name, seed: "ok" if ("retrain", 0) in submission.ran else "timeout"
    assert submission.submit(range(2))[0].status == "ok"
    assert submission.ran == [("mine", 0), *LOOK, ("mine", 0), ("mine", 1)]


def test_a_unit_that_ends_before_that_of_retrain_is_kept_with_its_time(machine: Machine) -> None:
    entry_ended = threading.Event()

    def meanwhile(name: str, seed: int) -> str:
        if (name, seed) == ("retrain", 2):
            assert entry_ended.wait(60)
        if (name, seed) == ("mine", 3):
            entry_ended.set()
        return "ok"

    machine.meanwhile = meanwhile
    record = machine.submit(slots=2)[2]
    assert machine.ran.index(("mine", 2)) < machine.ran.index(("mine", 3))
    assert record.retrain_seconds == 12.0
    stored = list(unit_store.seed_records(machine.references.store, machine.references.track))
    assert record in stored


def test_a_failed_unit_ends_the_entry_and_not_the_measurement(machine: Machine) -> None:
    machine.meanwhile = lambda name, seed: "crash" if (name, seed) == ("mine", 1) else "ok"
    assert [record.status for record in machine.submit().values()] == ["ok", "crash"]
    assert [seed for name, seed in machine.ran if name == "mine"] == [0, 1]
    machine.submit([5])
    assert machine.ran == [*LOOK, ("mine", 5)], "Retrain's times are kept"


def test_an_interrupted_command_goes_on_where_it_stopped(machine: Machine) -> None:
    def interrupt(name: str, seed: int) -> str:
        if (name, seed) == ("retrain", 5):
            raise KeyboardInterrupt
        return "ok"

    machine.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        machine.submit()
    machine.meanwhile = lambda name, seed: "ok"
    assert sorted(machine.submit()) == [5, 6, 7, 8, 9]
