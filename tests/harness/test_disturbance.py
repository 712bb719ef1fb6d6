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
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board
from unlearn_bench.harness.support.progress import Unobserved
from unlearn_bench.harness.units import disturbance, timed_units, unit_run, unit_store
from unlearn_bench.harness.units.disturbance import CoreAccount, WatchedClock, account
from unlearn_bench.harness.units.records import Record
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox.backends import load
from unlearn_bench.sandbox.types import Outcome


def watched(monkeypatch: pytest.MonkeyPatch, busy: float, stolen: float = 0.0) -> WatchedClock:
    """A clock during which its core was busy and stolen for so many seconds."""
    accounts = iter([CoreAccount(100.0, 3.0), CoreAccount(100.0 + busy, 3.0 + stolen)])
    monkeypatch.setattr(disturbance, "account", lambda cores: next(accounts))
    clock = WatchedClock(nullcontext(), (0,))
    with clock:
        pass
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


def test_the_account_is_of_the_cores_that_are_asked_for(watched_clock: None) -> None:
    first, second = account((0,)), account((0, 1))
    assert first is not None and second is not None and 0 < first.busy < second.busy
    assert account(()) is None


class Disturbed:
    """The outcomes of a back end, each with what the account of the core then says."""

    name, trusted = "disturbed", False

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: Sequence[float]) -> None:
        self.others, self.runs = list(others), 0
        self._now = 0.0
        monkeypatch.setattr(disturbance, "account", lambda cores: CoreAccount(self._now, 0.0) if cores else None)

    def run(self, job: object, clock: WatchedClock, stop: object = None) -> Outcome:
        self.runs += 1
        before = self._now
        with clock:
            self._now += 1.0 + self.others.pop(0)
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
    table = run("leaderboard", "--track", str(small)).stdout
    assert "RTE – noisy: 1 of its timed units were disturbed by other work; run them again (--again)" in table
    assert "disturbed: it waited 0.70 of" in run("show", "noisy", "--track", str(small)).stdout


def test_times_of_a_disturbed_retrain_are_not_kept_and_mark_the_units(
    references: References, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = next(iter(unit_store.seed_records(references.store, references.track)), None)
    assert example is None

    def disturbed(context: UnitContext, unit: object, slot: Slot, retrain: float | None, deadline: float) -> Record:
        outcome = Outcome("ok", seconds=2.0, cpu_seconds=2.0, disturbed="it waited")
        return unit_run._record(context, unit, outcome, retrain, None)  # type: ignore[arg-type]

    monkeypatch.setattr(unit_run, "run", disturbed)
    context = UnitContext(references, load("process"), "x")
    for _ in range(2):
        found = timed_units.retrain_times(context, [Slot()], Unobserved())
        assert found.disturbed == "of Retrain: it waited" and set(found.seconds.values()) == {2.0}


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
    path = tmp_path / "mine.py"
    path.write_text(FINE_TUNE.replace("epochs=1", "epochs=8"))
    result = run("submit", str(path), "--track", str(small), "--sandbox", "process", "--json")
    assert result.exit_code == 0, result.output
    records = [each for each in unit_store.seed_records(prepared.store, prepared.track) if each.name == "mine"]
    assert len(records) == 2
    for record in records:
        assert record.cpu_seconds is not None and record.seconds is not None
        assert record.disturbed or record.seconds - record.cpu_seconds <= max(0.05, 0.15 * record.seconds)
    shown = json.loads(run("leaderboard", "--track", str(small), "--format", "json").stdout)["rows"]
    assert next(row["disturbed"] for row in shown if row["entry"] == "mine") == sum(bool(r.disturbed) for r in records)
