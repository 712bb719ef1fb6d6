"""An entry whose shadow models are not made as its timed ones is marked, and its U-LiRA does not count."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import Entry, baseline, from_source
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.executors.local import LocalExecutor
from unlearn_bench.harness.references.manifest import TrainingFacts
from unlearn_bench.harness.references.references import References, half
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import board
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import shadow_units, swap_units, yardstick_units
from unlearn_bench.harness.units.records import ShadowRecord
from unlearn_bench.harness.units.runner import UntimedResult
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, SwapUnit, Unit
from unlearn_bench.harness.workflows import untimed

SHARE = 448 / 896


class Costing:
    """A runner whose units cost what ``cost`` says; the models are drawn, and mostly right."""

    backend, trusted, at_once, overhead = "costing", True, 1, 0.0

    def __init__(self, labels: np.ndarray, cost: Callable[[Unit], float]) -> None:
        self.asked: list[str] = []
        self._labels, self._cost = labels, cost

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, UntimedResult]]:
        for unit in units:
            self.asked.append(unit.description)
            drawn = np.random.default_rng(np.ravel(unit.index)).normal(size=(len(self._labels), 10))
            logits = drawn + 2 * np.eye(10)[self._labels]
            yield unit, UntimedResult("ok", "", logits.astype(np.float32), self._cost(unit))


@pytest.fixture
def default() -> References:
    return References(load_track("digits-resnet18"), Store())


def attacked(references: References, entry: Entry, timed: float, shadow: float) -> ShadowRecord:
    """The record of an entry whose seed units and shadow units cost so many CPU seconds."""
    cost = Costing(references.examples.dataset.labels, lambda unit: shadow if isinstance(unit, ShadowUnit) else timed)
    list(yardstick_units.measure(references, yardstick_units.pending(references, entry), cost))
    return shadow_units.run(references, entry, cost)


def on_board(references: References, entry: Entry) -> None:
    """Give the entry the shipped seed records of ft, so that it stands on the board."""
    ft = next(c for c in board_entries(references) if c.name == "ft")
    for seed, record in ft.records.items():
        unit = SeedUnit(entry, references.track, seed)
        replace(record, key=unit.key, entry=entry.id, name=entry.name, sha256=entry.sha256).save(references.store)


def foreign(name: str = "mine") -> Entry:
    return from_source(name, b"def unlearn(model, retain):\n    return model\n")


@pytest.mark.parametrize(
    ("timed", "shadow", "marked"),
    [
        (1.0, 3.1 * SHARE, True),
        (1.0, 2.9 * SHARE, False),  # a method of fixed cost reads 2
        (0.01, 1.4 * SHARE, False),  # too little to tell from imports
        (0.01, 1.6 * SHARE, True),
        (5.0, 0.1, False),  # less work is no mark
    ],
)
def test_three_times_the_work_of_a_timed_unit_is_marked(
    default: References, timed: float, shadow: float, marked: bool
) -> None:
    record = attacked(default, foreign(), timed, shadow)
    assert bool(yardstick_units.inconsistent_shadows(default, record)) == marked


@pytest.mark.slow
def test_u_lira_of_a_marked_row_is_shown_and_does_not_count(default: References) -> None:
    before = board.board(default).set_index("entry")
    for name, shadow in (("honest", 0.5), ("cheat", 4.0)):
        entry = from_source(name, f"'''{name}'''\ndef unlearn(model, retain):\n    return model\n".encode())
        on_board(default, entry)
        attacked(default, entry, 1.0, shadow)
    rows = board.board(default).set_index("entry")
    cheat, honest = rows.loc["cheat"], rows.loc["honest"]
    assert not honest["inconsistent"] and not honest["provisional"]
    assert cheat["provisional"] == cheat["inconsistent"]
    assert cheat["ulira"] == pytest.approx(honest["ulira"]), "what was measured is still shown"
    assert cheat["inconsistent"] == (
        "a shadow unit takes 4.00 CPU s, 8.00 s for as many examples, a timed one 1.00 s: 8.0 times"
    )
    others = before.index.difference(["cheat", "honest"])
    assert before.loc[others, "group_forgetting"].equals(rows.loc[others, "group_forgetting"]), "no other row moves"
    table = run("leaderboard").stdout
    assert "! cheat inconsistent: a shadow unit takes 4.00 CPU s" in table
    assert next(line for line in table.splitlines() if " cheat" in line).count("!") == 1
    shown = run("show", "cheat").stdout
    assert "inconsistent U-LiRA: a shadow unit takes 4.00 CPU s" in shown
    assert json.loads(run("show", "honest", "--json").stdout)["inconsistent"] == {}
    marks = {
        row["entry"]: row["inconsistent"] for row in json.loads(run("leaderboard", "--format", "json").stdout)["rows"]
    }
    assert [name for name in ("cheat", "honest") if marks[name]] == ["cheat"]


def test_the_yardstick_runs_once_for_foreign_files_and_never_for_shipped_ones(default: References) -> None:
    assert yardstick_units.pending(default, baseline("ft")) == []
    entry = foreign()
    assert [unit.description for unit in yardstick_units.pending(default, entry)] == ["seed 0", "seed 1"]
    attacked(default, entry, 1.0, 1.0)
    assert yardstick_units.pending(default, entry) == []
    tuned = from_source("mine", b"def unlearn(model, retain, *, lr=0.1):\n    return model\n")
    attacked(default, tuned, 1.0, 1.0)
    assert len(yardstick_units.pending(default, tuned.with_parameters({"lr": 0.2}))) == 2, "parameters change the work"


class Ruined(Costing):
    """A runner that destroys every shadow model: its logits are noise of this size."""

    def __init__(self, labels: np.ndarray, size: float) -> None:
        super().__init__(labels, lambda unit: 1.0)
        self._size, self._rng = size, np.random.default_rng(0)

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, UntimedResult]]:
        for unit, result in super().run(units, deadline):
            noise = self._size * self._rng.normal(size=(len(self._labels), 10))
            yield unit, replace(result, logits=noise.astype(np.float32)) if isinstance(unit, ShadowUnit) else result


@pytest.mark.slow
@pytest.mark.parametrize(("size", "why"), [(0.0, "have collapsed"), (1.0, "of Retrain's VA, its seed models")])
def test_an_entry_that_ruins_its_shadow_models_has_no_u_lira(default: References, size: float, why: str) -> None:
    entry = foreign()
    on_board(default, entry)
    shadow_units.run(default, entry, Ruined(default.examples.dataset.labels, size))
    row = board.board(default).set_index("entry").loc["mine"]
    assert why in row["inconsistent"] and row["provisional"] == row["inconsistent"]
    assert 0.45 < row["ulira"] < 0.55, "it reads as if everything were forgotten"


def test_a_yardstick_that_fails_fails_the_run(default: References, monkeypatch: pytest.MonkeyPatch) -> None:
    entry, labels = foreign(), default.examples.dataset.labels

    class Crashing(Costing):
        def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, UntimedResult]]:
            for unit, result in super().run(units, deadline):
                yield unit, replace(result, status="crash", reason="it broke", logits=None)

    runner = Crashing(labels, lambda unit: 1.0)
    monkeypatch.setattr(LocalExecutor, "untimed", lambda *_: (nullcontext(runner), "so it runs"))
    monkeypatch.setattr(untimed, "train_missing", lambda *_: None)
    monkeypatch.setattr(shadow_units, "reference_rows", lambda *_: None)
    (record,) = untimed.run_shadows(default, [entry], LocalExecutor(RunOptions()), RunOptions())
    assert (record.status, record.failed) == ("crash", "seed 0")
    assert runner.asked == ["seed 0"]


def test_swapped_units_have_the_same_yardstick(default: References) -> None:
    entry, labels = foreign(), default.examples.dataset.labels
    for seed in range(10):  # what they start from; only their cost is looked at
        default.add(Role("swap", seed), b"", half(np.zeros((len(labels), 10))).astype(np.float32), TrainingFacts())
    costs = Costing(labels, lambda unit: 4.0 if isinstance(unit, SwapUnit) else 1.0)
    list(yardstick_units.measure(default, yardstick_units.pending(default, entry), costs))
    assert yardstick_units.inconsistent_swaps(default, entry.id) == ""
    list(swap_units.run(default, swap_units.pending(default, entry), costs))
    assert (
        yardstick_units.inconsistent_swaps(default, entry.id)
        == "a swapped unit takes 4.00 CPU s, a timed one 1.00 s: 4.0 times"
    )
