"""Mistakes that are found before anything is trained or timed, and results that the plain command replaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness.conftest import run
from tests.harness.test_versions import BOTH, PLAIN, ran
from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.entries.parameter_types import require_types
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.units import swap_units, timed_units, unit_store
from unlearn_bench.harness.units.records import SwapRecord
from unlearn_bench.harness.units.unit_kinds import SwapUnit

ENTRY = Entry(
    "mine",
    b"",
    defaults={"lr": 0.1, "alpha": 1, "epochs": 5, "nesterov": False, "mode": "max", "layers": [1], "seed": None},
    search_space={"epochs": ("int", 1, 10)},
)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", "fast"), ("lr", True), ("lr", float("inf")), ("epochs", 1.5), ("nesterov", 1), ("mode", 3), ("layers", 1)],
)
def test_a_value_of_another_kind_than_the_default_is_refused(name: str, value: Any) -> None:
    with pytest.raises(BenchError, match=f"{name} is {value!r}"):
        require_types(ENTRY, {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 1), ("alpha", 0.5), ("epochs", 2), ("nesterov", True), ("mode", "min"), ("layers", (1, 2)), ("seed", "x")],
)
def test_a_value_of_the_same_kind_is_not(name: str, value: Any) -> None:
    require_types(ENTRY, {name: value})


def test_a_wrong_value_is_found_before_models_are_trained(small: Path, tmp_path: Path, home: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def unlearn(model, retain, *, lr=0.1):\n    return model\n")
    result = run("submit", str(file), "--track", str(small), "--sandbox", "process", "--set", "lr=O.1")
    assert result.exit_code == 2 and "--set lr=0.1" in result.stderr
    assert not (home / "references").exists()


def test_a_file_that_cannot_be_imported_is_found_before_models_are_trained(
    small: Path, tmp_path: Path, home: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import torch\nRATES = torch.rates\n\n\ndef unlearn(model, retain):\n    return model\n")
    result = run("submit", str(file), "--track", str(small), "--sandbox", "process")
    assert result.exit_code == 11 and "mine, when imported: crash" in result.stderr and "rates" in result.stderr
    assert not (home / "references").exists()


def test_a_trusted_sandbox_runs_again_what_ran_without_one(prepared: References) -> None:
    ran(prepared, PLAIN, [0])
    store, track = prepared.store, prepared.track
    assert [unit.seed for unit in timed_units.pending(store, PLAIN, track, BOTH)] == [1]
    assert [unit.seed for unit in timed_units.pending(store, PLAIN, track, BOTH, trusted=True)] == [0, 1]


def test_swapped_units_that_failed_run_again_when_asked(prepared: References) -> None:
    for seed, status in enumerate(("crash", "ok")):
        unit = SwapUnit(PLAIN, prepared.track, seed)
        unit_store.keep(prepared.store, unit, SwapRecord(status, "", None, 1.0, False))  # type: ignore[arg-type]
    pending = swap_units.pending
    assert pending(prepared, PLAIN) == []
    assert [unit.seed for unit in pending(prepared, PLAIN, again=True)] == [0]
    assert [unit.seed for unit in pending(prepared, PLAIN, trusted=True)] == [0, 1]
