"""An entry that does in other units not what it does in timed ones is marked, and has no position."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.benchmarks.consistency import simulate, stored
from tests.harness.conftest import run
from unlearn_bench.harness.entries.entry import Entry, baseline, from_source
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.executors.local import LocalExecutor
from unlearn_bench.harness.references.manifest import TrainingFacts
from unlearn_bench.harness.references.references import References, half
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results import board, consistency, scores
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.results.consistency import ShadowFaults
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import shadow_units, swap_units, yardstick_units
from unlearn_bench.harness.units.records import ShadowRecord
from unlearn_bench.harness.units.runner import UntimedResult
from unlearn_bench.harness.units.unit_kinds import SeedUnit, ShadowUnit, SwapUnit, Unit, YardstickUnit
from unlearn_bench.harness.workflows import untimed

SHARE = 448 / 896


class Costing:
    """A runner whose units cost what ``cost`` says.

    Shadow models are drawn, right on R and mostly right elsewhere; the others are retrained ones.
    """

    backend, trusted, at_once, overhead = "costing", True, 1, 0.0

    def __init__(self, references: References, cost: Callable[[Unit], float]) -> None:
        self.asked: list[str] = []
        self.references, self._cost = references, cost

    def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, UntimedResult]]:
        for unit in units:
            self.asked.append(unit.description)
            yield unit, UntimedResult("ok", "", self.logits(unit), self._cost(unit))

    def logits(self, unit: Unit) -> NDArray[np.float32]:
        if not isinstance(unit, ShadowUnit):
            return self.references.logits(unit.target)
        labels = self.references.examples.labels
        strength = np.full((len(labels), 1), 2.0)
        strength[unit.parts(self.references.examples)["retain"]] = 8.0
        drawn = np.random.default_rng(np.ravel(unit.index)).normal(size=(len(labels), 10))
        return (drawn + strength * np.eye(10)[labels]).astype(np.float32)


@pytest.fixture
def default() -> References:
    return References(load_track("digits-resnet18"), Store())


def measure(references: References, entry: Entry, timed: float) -> None:
    """Run the yardstick units of an entry, whose seed units cost so many CPU seconds."""
    pending = yardstick_units.pending(references, entry)
    list(yardstick_units.measure(references, pending, Costing(references, lambda unit: timed)))


def attacked(references: References, entry: Entry, timed: float, shadow: float) -> ShadowRecord:
    """The record of an entry whose seed units and shadow units cost so many CPU seconds."""
    measure(references, entry, timed)
    return shadow_units.run(references, entry, Costing(references, lambda unit: shadow))


def on_board(references: References, entry: Entry) -> None:
    """Give the entry the shipped seed records of ft, so that it stands on the board."""
    ft = next(c for c in board_entries(references) if c.name == "ft")
    for seed, record in ft.records.items():
        unit = SeedUnit(entry, references.track, seed)
        replace(record, key=unit.key, entry=entry.id, name=entry.name, sha256=entry.sha256).save(references.store)


def foreign(name: str = "mine") -> Entry:
    return from_source(name, b"def unlearn(model, retain):\n    return model\n")


def test_a_method_whose_work_is_on_f_may_do_more_where_shadow_units_have_more_of_it(small: Path) -> None:
    references = References(load_track(str(small)), Store())
    parts, splits = references.examples.shadow_parts(0, 0), references.track.splits
    assert len(parts["forget"]) / splits.forget == 1 and len(parts["retain"]) / splits.retain == 1 / 3
    assert consistency.shadow_share(references) == 0.5


def test_work_in_shadow_units_is_judged_for_as_many_examples_as_timed_units_have(default: References) -> None:
    record = attacked(default, foreign(), 1.0, 3.1 * SHARE)
    numbers = scores.entry_shadow_scores(default, record)
    why = consistency.of_shadows(default, None, record, numbers).inconsistent
    assert why == "CPU seconds for as many examples of R and F is 3.10 in shadow units and 1.00 in timed ones"
    assert consistency.of_shadows(default, None, replace(record, cpu_seconds=2.9 * SHARE), numbers) == ShadowFaults()


def test_no_shipped_method_is_marked_whichever_of_its_seeds_and_splits_are_drawn(default: References) -> None:
    found = simulate(stored(default), 50)
    assert len(found) == 18
    assert {name for name, draws in found.items() if max(max(shares.values()) for shares in draws) > 1} == set()


def test_u_lira_does_not_count_where_a_method_harms_its_shadow_models_and_that_is_no_mark(default: References) -> None:
    rows = board.board(default).set_index("entry")
    assert rows.loc["ga", "provisional"].startswith("VA of its shadow models is 0.43 below Retrain's")
    assert set(rows["inconsistent"]) == {""} and list(rows.index[rows["provisional"] != ""]) == ["ga"]


@pytest.mark.slow
def test_u_lira_of_a_marked_row_is_shown_and_does_not_count(default: References) -> None:
    before = board.board(default).set_index("entry")
    for name, shadow in (("honest", 0.5), ("cheat", 4.0)):
        entry = from_source(name, f"'''{name}'''\ndef unlearn(model, retain):\n    return model\n".encode())
        on_board(default, entry)
        attacked(default, entry, 1.0, shadow)
    rows = board.board(default).set_index("entry")
    cheat, honest = rows.loc["cheat"], rows.loc["honest"]
    assert not honest["inconsistent"] and honest["position"] > 0
    assert honest["provisional"] == "no probe has looked at all of its models", "only the probes are missing"
    why = "CPU seconds for as many examples of R and F is 8.00 in shadow units and 1.00 in timed ones"
    assert cheat["inconsistent"] == why
    assert (cheat["state"], cheat["reason"]) == ("inconsistent", cheat["inconsistent"])
    assert pd.isna(cheat["position"]) and pd.isna(cheat["group_forgetting"]) and cheat["G1"] == 0
    assert cheat["ulira"] == pytest.approx(honest["ulira"]), "what was measured is still shown"
    others = before.index.difference(["cheat", "honest"])
    assert before.loc[others, "group_forgetting"].equals(rows.loc[others, "group_forgetting"]), "no other row moves"
    table = run("leaderboard").stdout
    assert "! cheat inconsistent: CPU seconds for as many examples" in table
    assert next(line for line in table.splitlines() if " cheat" in line).count("!") == 1
    shown = run("show", "cheat").stdout
    assert "inconsistent U-LiRA: CPU seconds for as many examples" in shown
    assert json.loads(run("show", "honest", "--json").stdout)["inconsistent"] == {}
    marks = {
        row["entry"]: row["inconsistent"] for row in json.loads(run("leaderboard", "--format", "json").stdout)["rows"]
    }
    assert [name for name in ("cheat", "honest") if marks[name]] == ["cheat"]


def test_the_yardstick_runs_once_for_foreign_files_and_never_for_shipped_ones(default: References) -> None:
    assert yardstick_units.pending(default, baseline("ft")) == []
    entry = foreign()
    assert [unit.description for unit in yardstick_units.pending(default, entry)] == ["seed 0", "seed 1"]
    measure(default, entry, 1.0)
    assert yardstick_units.pending(default, entry) == []
    tuned = from_source("mine", b"def unlearn(model, retain, *, lr=0.1):\n    return model\n")
    measure(default, tuned, 1.0)
    assert len(yardstick_units.pending(default, tuned.with_parameters({"lr": 0.2}))) == 2, "parameters change the work"


class Ruined(Costing):
    """A runner that destroys the models of one kind of unit: their logits are noise of this size."""

    def __init__(self, references: References, kind: type[Unit], size: float) -> None:
        super().__init__(references, lambda unit: 1.0)
        self._kind, self._size, self._rng = kind, size, np.random.default_rng(0)

    def logits(self, unit: Unit) -> NDArray[np.float32]:
        logits = super().logits(unit)
        noise = self._size * self._rng.normal(size=logits.shape)
        return noise.astype(np.float32) if isinstance(unit, self._kind) else logits


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_an_entry_that_ruins_its_shadow_models_has_no_u_lira_and_no_position(default: References, size: float) -> None:
    entry = foreign()
    on_board(default, entry)
    shadow_units.run(default, entry, Ruined(default, ShadowUnit, size))
    row = board.board(default).set_index("entry").loc["mine"]
    assert row["inconsistent"].startswith("accuracy on R minus Retrain's is -0.")
    assert (row["state"], row["provisional"]) == ("inconsistent", row["inconsistent"]) and pd.isna(row["position"])
    assert 0.45 < row["ulira"] < 0.55, "it reads as if everything were forgotten"


def test_shadow_models_that_have_collapsed_are_named(default: References) -> None:
    record = shadow_units.run(default, foreign(), Ruined(default, ShadowUnit, 0.0))
    why = consistency.of_shadows(default, None, record, scores.entry_shadow_scores(default, record)).inconsistent
    assert why == "its shadow models have collapsed: they give 1024 of 1024 examples the same φ each time"


def test_an_entry_that_ruins_models_where_it_is_not_timed_is_marked(default: References) -> None:
    entry = foreign()
    on_board(default, entry)
    (board_entry,) = (each for each in board_entries(default) if each.name == "mine")
    measure(default, entry, 1.0)
    assert consistency.faults(default, board_entry, None, ShadowFaults()) == {}
    units = [YardstickUnit(entry, default.track, seed) for seed in range(2)]
    list(yardstick_units.measure(default, units, Ruined(default, YardstickUnit, 1.0)))
    (why,) = consistency.faults(default, board_entry, None, ShadowFaults()).values()
    assert "in untimed seed units" in why


def test_a_yardstick_that_fails_fails_the_run(default: References, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = foreign()

    class Crashing(Costing):
        def run(self, units: Sequence[Unit], deadline: float) -> Iterator[tuple[Unit, UntimedResult]]:
            for unit, result in super().run(units, deadline):
                yield unit, replace(result, status="crash", reason="it broke", logits=None)

    runner = Crashing(default, lambda unit: 1.0)
    monkeypatch.setattr(LocalExecutor, "untimed", lambda *_: (nullcontext(runner), "so it runs"))
    monkeypatch.setattr(untimed, "train_missing", lambda *_: None)
    monkeypatch.setattr(shadow_units, "reference_rows", lambda *_: None)
    (record,) = untimed.run_shadows(default, [entry], LocalExecutor(RunOptions()), RunOptions())
    assert (record.status, record.failed) == ("crash", "seed 0")
    assert runner.asked == ["seed 0"]


@pytest.mark.slow
def test_swapped_units_are_held_to_the_seed_units(default: References) -> None:
    entry, labels = foreign(), default.examples.dataset.labels
    on_board(default, entry)
    (board_entry,) = (each for each in board_entries(default) if each.name == "mine")
    for seed in range(10):  # what they start from; only what becomes of them is looked at
        default.add(Role("swap", seed), b"", half(np.zeros((len(labels), 10))).astype(np.float32), TrainingFacts())
    measure(default, entry, 1.0)
    costs = Costing(default, lambda unit: 4.0)
    assert consistency.faults(default, board_entry, None, ShadowFaults()) == {}
    list(swap_units.run(default, swap_units.pending(default, entry), costs))
    assert consistency.faults(default, board_entry, None, ShadowFaults()) == {
        "SWAP": "CPU seconds for as many examples of R and F is 4.00 in swapped units and 1.00 in timed ones"
    }
    units = [SwapUnit(entry, default.track, seed) for seed in range(10)]
    list(swap_units.run(default, units, Ruined(default, SwapUnit, 1.0)))
    assert "in swapped units" in consistency.faults(default, board_entry, None, ShadowFaults())["SWAP"]
    assert board.board(default).set_index("entry").loc["mine", "state"] == "inconsistent"
