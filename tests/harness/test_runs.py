"""Retrain's time on this machine: kept, looked at by every command, measured anew where the machine has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.harness.conftest import measured_retrain
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_run, unit_store
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox import backends

SEEDS = set(range(10))
Times = Callable[..., tuple[dict[int, float], list[int]]]


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch, retrain_looked_at: None) -> Times:
    """Retrain's times on ten seeds where each run takes the next of some seconds, the last one for ever after; and
    which seeds ran."""
    references = References(load_track("digits-resnet18"), Store())
    example = next(iter(unit_store.seed_records(references.store, references.track)))

    def measured(*seconds: float) -> tuple[dict[int, float], list[int]]:
        left, ran = list(seconds), []

        def run(bench: UnitContext, unit: Unit, slot: Slot, deadline: float) -> Record:
            ran.append(unit.seed)
            now = left.pop(0) if len(left) > 1 else left[0]
            return replace(example, key=unit.key, seed=unit.seed, status="ok", seconds=now)

        monkeypatch.setattr(unit_run, "run", run)
        bench = UnitContext(references, backends.load("process"), "x")
        return dict(measured_retrain(bench).seconds), ran

    return measured


def test_retrain_is_measured_on_all_seeds_once_and_on_two_ever_after(times: Times) -> None:
    first, ran = times(4.0)
    assert sorted(ran) == sorted(SEEDS) and first == dict.fromkeys(SEEDS, 4.0)
    again, ran = times(4.3)
    assert ran == [0, 1] and again == first, "7 % is no drift"


@pytest.mark.parametrize("factor", [0.5, 0.88, 1.12, 2.0])
def test_a_machine_that_has_changed_its_speed_is_measured_anew(times: Times, factor: float) -> None:
    times(4.0)
    now, ran = times(4.0 * factor)
    assert sorted(ran) == sorted([0, 1, *SEEDS]) and now == dict.fromkeys(SEEDS, 4.0 * factor)
    again, ran = times(4.0 * factor)
    assert ran == [0, 1] and again == now, "it is kept"


def test_a_neighbour_of_a_moment_is_no_change_of_the_machine(times: Times) -> None:
    first, _ = times(4.0)
    again, ran = times(7.0, 5.0, 4.1)
    assert ran == [0, 1, 0, 1] and again == first
