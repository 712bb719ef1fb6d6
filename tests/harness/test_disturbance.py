"""A timed unit beside other work is timed again, and its time does not count if that does not help."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.conftest import run
from tests.harness.test_submit import FINE_TUNE
from unlearn_bench.harness.entries.entry import baseline
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board
from unlearn_bench.harness.store import documents
from unlearn_bench.harness.support.progress import Unobserved
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import core_spin, disturbance, timed_units, unit_run, unit_store
from unlearn_bench.harness.units.disturbance import CoreAccount, WatchedClock, account
from unlearn_bench.harness.units.records import Record, track_folder
from unlearn_bench.harness.units.retrain_times import RetrainTimes
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import SeedUnit, Unit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.types import Outcome


def watched(monkeypatch: pytest.MonkeyPatch, busy: float, stolen: float = 0.0) -> WatchedClock:
    """A clock during which its core was busy and stolen for so many seconds."""
    accounts = [CoreAccount(100.0, 3.0)]
    monkeypatch.setattr(disturbance, "account", lambda cores: accounts[-1])
    monkeypatch.setattr(core_spin, "spin", lambda cores: 0.0)
    monkeypatch.setattr(core_spin, "slowness", lambda cores, seconds: 0.0)
    clock = WatchedClock(nullcontext(), (0,))
    with clock:
        accounts.append(CoreAccount(100.0 + busy, 3.0 + stolen))
    return clock


@pytest.mark.parametrize(
    ("cpu", "busy", "stolen", "disturbed"),
    [
        (2.0, 2.0, 0.0, False),
        (1.8, 2.0, 0.0, True),
        (1.8, 1.8, 0.2, True),
        (1.85, 1.93, 0.07, True),
        (2.0, 2.3, 0.0, False),  # others came when it had ended
        (1.0, 1.0, 0.0, False),  # it slept
        (1.92, 2.0, 0.0, False),  # 4 %
    ],
)
def test_what_it_waits_for_others_is_judged_by_the_account_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, cpu: float, busy: float, stolen: float, disturbed: bool
) -> None:
    outcome = Outcome("ok", seconds=2.0, cpu_seconds=cpu)
    found = watched(monkeypatch, busy, stolen).disturbance(outcome)
    assert bool(found) == disturbed and ("for other work on its core" in found) == disturbed


def test_short_units_are_not_judged_by_hundredths(monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched(monkeypatch, 0.1).disturbance(Outcome("ok", seconds=0.1, cpu_seconds=0.06)) == ""


@pytest.mark.parametrize("outcome", [Outcome("crash", "x"), Outcome("ok", seconds=2.0)])
def test_what_has_no_times_is_not_judged(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> None:
    assert watched(monkeypatch, 9.0).disturbance(outcome) == ""


@pytest.mark.parametrize(
    ("spins", "found"),
    [
        ([1.0, 1.0], ""),
        ([1.5, 1.0], "right before it, its core was 50% slower than it has been"),
        ([1.0, 1.5], "right after it, its core was 50% slower than it has been"),
    ],
)
def test_a_core_that_is_slow_before_or_after_a_unit_disturbs_it(
    monkeypatch: pytest.MonkeyPatch, spins: list[float], found: str
) -> None:
    seconds = iter(spins)
    monkeypatch.setattr(disturbance, "account", lambda cores: CoreAccount(0.0, 0.0))
    monkeypatch.setattr(core_spin, "_fastest", {(0,): 1.0})
    monkeypatch.setattr(core_spin, "spin", lambda cores: next(seconds))
    clock = WatchedClock(nullcontext(), (0,))
    with clock:
        pass
    assert clock.disturbance(Outcome("ok", seconds=2.0)) == found


def test_where_the_kernel_keeps_no_account_nothing_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(core_spin, "spin")
    with (clock := WatchedClock(nullcontext(), (0,))):
        pass
    assert clock.disturbance(Outcome("ok", seconds=2.0, cpu_seconds=1.0)) == ""


def test_the_account_is_of_the_cores_that_are_asked_for(watched_clock: None) -> None:
    first, second = account((0,)), account((0, 1))
    assert first is not None and second is not None and 0 < first.busy < second.busy
    assert account(()) is None


INFRA = -1.0
"""Stands for a run that the machine lost."""


class Disturbed:
    """A back end whose every run works for a second and waits for others for as long as it is told."""

    name, trusted = "disturbed", False

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: Sequence[float]) -> None:
        self.others, self.runs = list(others), 0
        self._now = 0.0
        monkeypatch.setattr(disturbance, "account", lambda cores: CoreAccount(self._now, 0.0) if cores else None)
        monkeypatch.setattr(core_spin, "spin", lambda cores: 0.0)
        monkeypatch.setattr(core_spin, "slowness", lambda cores, seconds: 0.0)

    def run(self, job: object, clock: WatchedClock, stop: object = None) -> Outcome:
        self.runs += 1
        before, others = self._now, self.others.pop(0)
        if others == INFRA:
            return Outcome("infra", "the engine was lost")
        with clock:
            self._now += 1.0 + others
        return Outcome("ok", seconds=self._now - before, cpu_seconds=1.0)


@pytest.mark.parametrize(
    ("others", "runs", "disturbed"), [([0.0], 1, False), ([0.5, 0.0], 2, False), ([0.5, 0.5, 0.5, 0.0], 3, True)]
)
def test_a_disturbed_unit_is_timed_again_at_most_twice(
    references: References, monkeypatch: pytest.MonkeyPatch, others: list[float], runs: int, disturbed: bool
) -> None:
    sandbox = Disturbed(monkeypatch, others)
    context = UnitContext(references, sandbox, "x")  # type: ignore[arg-type]
    outcome = unit_run._run_job(context, None, Slot((0,), timed=True))  # type: ignore[arg-type]
    assert (sandbox.runs, bool(outcome.disturbed)) == (runs, disturbed)


@pytest.mark.parametrize(
    ("others", "status", "disturbed"),
    [
        ([0.5, INFRA, INFRA], "ok", True),
        ([INFRA, 0.5, INFRA], "ok", True),
        ([0.5, INFRA, 0.0], "ok", False),
        ([INFRA, INFRA, INFRA], "infra", False),
    ],
)
def test_an_attempt_that_the_machine_loses_takes_nothing_from_one_that_was_ok(
    references: References, monkeypatch: pytest.MonkeyPatch, others: list[float], status: str, disturbed: bool
) -> None:
    context = UnitContext(references, Disturbed(monkeypatch, others), "x")  # type: ignore[arg-type]
    outcome = unit_run._run_job(context, None, Slot((0,), timed=True))  # type: ignore[arg-type]
    assert (outcome.status, bool(outcome.disturbed)) == (status, disturbed)


def test_units_that_are_not_timed_are_not_judged(references: References, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = Disturbed(monkeypatch, [9.0])
    context = UnitContext(references, sandbox, "x")  # type: ignore[arg-type]
    assert unit_run._run_job(context, None, Slot((0,))).disturbed == ""  # type: ignore[arg-type]


def test_a_row_with_a_disturbed_unit_has_no_speed_and_says_so(prepared: References, small: Path) -> None:
    from tests.harness.test_public_board import put

    put(prepared, "calm", b"calm", True, 1.0)
    put(prepared, "noisy", b"noisy", True, 1.0)
    record = next(each for each in unit_store.seed_records(prepared.store, prepared.track) if each.name == "noisy")
    replace(record, disturbed="it waited 0.70 of its 1.00 s for other work on its core").save(prepared.store)
    rows = board.board(prepared).set_index("entry")
    assert rows["disturbed"].to_dict() | {"original": 0, "retrain": 0} == rows["disturbed"].to_dict()
    assert rows.loc[["calm", "noisy"], "disturbed"].tolist() == [0, 1]
    assert rows.loc["calm", "rte"] > 0 and rows.loc["noisy", ["rte", "group_rte"]].isna().all()
    table = " ".join(run("leaderboard", "--track", str(small)).stdout.split())
    assert "RTE – noisy: 1 of its timed units were disturbed by other work; run them again (--again)" in table
    assert "disturbed: it waited 0.70 of" in run("show", "noisy", "--track", str(small)).stdout


def test_times_of_a_disturbed_retrain_are_not_kept_and_mark_the_units_of_its_seed(
    references: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_disturbed(context: UnitContext, unit: Unit, slot: Slot, deadline: float) -> Record:
        beside = "it waited" if unit.entry.name == "retrain" and unit.seed == 1 else ""
        outcome = Outcome("ok", seconds=2.0, cpu_seconds=2.0, disturbed=beside)
        return unit_run.unit_record(unit, outcome, None, context.sandbox.trusted, context.hardware)

    monkeypatch.setattr(unit_run, "run", half_disturbed)
    context = UnitContext(references, load("process"), "x")
    todo = [SeedUnit(baseline("ft"), references.track, seed) for seed in (0, 1)]
    for _ in range(2):
        records = timed_units.run(context, todo, [Slot()], Unobserved())
        assert [record.disturbed for record in records] == ["", "of Retrain: it waited"]
        assert not list(documents.read_all(references.store, f"retrain/{track_folder(references.track)}", RetrainTimes))


@pytest.fixture
def load_on_every_core() -> Iterator[None]:
    """Two busy programs for each core."""
    import os

    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for program in spin:
        program.kill()
        program.wait()


@pytest.mark.slow
def test_beside_a_load_of_twice_the_cores_a_time_is_marked_or_right(
    prepared: References, small: Path, tmp_path: Path, watched_clock: None, load_on_every_core: None
) -> None:
    small.write_text(small.read_text().replace("deadline_floor = 6", "deadline_floor = 60"))
    path = tmp_path / "mine.py"
    path.write_text(FINE_TUNE.replace("epochs=1", "epochs=8"))
    result = run("submit", str(path), "--track", str(small), "--sandbox", "process", "--json")
    assert result.exit_code == 0, result.output
    records = [each for each in unit_store.seed_records(prepared.store, load_track(str(small))) if each.name == "mine"]
    assert len(records) == 2
    for record in records:
        assert record.cpu_seconds is not None and record.seconds is not None
        assert record.disturbed or record.seconds - record.cpu_seconds <= max(0.05, 0.15 * record.seconds)
    shown = json.loads(run("leaderboard", "--track", str(small), "--format", "json").stdout)["rows"]
    assert next(row["disturbed"] for row in shown if row["entry"] == "mine") == sum(bool(r.disturbed) for r in records)
