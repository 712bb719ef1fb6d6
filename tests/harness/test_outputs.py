"""Logits and φ of one's own, scored without a track: the same numbers as on the board, and clear complaints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unlearn_bench
from tests.harness.conftest import run
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.results.attack_panel import attack_numbers
from unlearn_bench.harness.results.board import board
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.results.outputs import PHI
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import unit_store

Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def shipped() -> tuple[References, Arrays]:
    """The default track, and the arrays that somebody with EU-k's logits would have."""
    references = References(load_track("digits-resnet18"), Store())
    (entry,) = [entry for entry in board_entries(references) if entry.name == "eu_k"]
    seeds = range(references.track.protocol.seeds)
    arrays: Arrays = {
        role: np.stack([references.logits(Role(role, seed)) for seed in seeds])  # type: ignore[arg-type]
        for role in ("original", "retrained", "null")
    }
    arrays["unlearned"] = np.stack([unit_store.logits(references.store, entry.records[seed]) for seed in seeds])
    arrays["labels"] = references.examples.labels
    split = np.full((len(seeds), len(arrays["labels"])), "", dtype="<U7")
    for seed in seeds:
        for part, indices in references.examples.parts(seed).items():
            split[seed, indices] = part
    return references, {**arrays, "split": split}


ROUNDING = 1e-12
"""What ships was computed on another processor, whose sums end in another digit."""


def written(folder: Path, arrays: Arrays) -> str:
    np.savez(folder / "mine.npz", **arrays)
    return str(folder / "mine.npz")


def test_logits_of_a_board_give_the_numbers_of_the_board(shipped: tuple[References, Arrays], tmp_path: Path) -> None:
    references, arrays = shipped
    result = run("score", written(tmp_path, arrays), "--json")
    assert result.exit_code == 0, result.output
    scores = json.loads(result.stdout)
    row = board(references).set_index("entry").loc["eu_k"]
    for metric in scores["metrics"]:
        ends = [metric["value"][end] for end in ("mean", "low", "high")]
        there = [row[metric["name"]], row[f"{metric['name']}_low"], row[f"{metric['name']}_high"]]
        assert ends == pytest.approx(there, abs=ROUNDING), metric
    (entry,) = [entry for entry in board_entries(references) if entry.name == "eu_k"]
    expected = {(each.attack, each.number): each for each in attack_numbers(references, entry)}
    assert len(scores["attacks"]) > 5
    for number in scores["attacks"]:
        stored = expected[number["attack"], number["number"]]
        numbers = (number["value"], number["null"], number["original"])
        assert numbers == pytest.approx((stored.value, stored.null, stored.original), abs=ROUNDING)


def test_a_notebook_gets_the_same_numbers_from_a_function(shipped: tuple[References, Arrays], tmp_path: Path) -> None:
    scores = unlearn_bench.score(shipped[1])
    printed = json.loads(run("score", written(tmp_path, shipped[1]), "--json").stdout)
    assert [metric.value.mean for metric in scores.metrics] == [each["value"]["mean"] for each in printed["metrics"]]
    with pytest.raises(unlearn_bench.BenchError, match="has no labels"):
        unlearn_bench.score({})


def test_one_seed_without_a_second_retrained_model_has_no_interval_and_no_null(
    shipped: tuple[References, Arrays], tmp_path: Path
) -> None:
    one = {name: values if name == "labels" else values[0] for name, values in shipped[1].items() if name != "null"}
    result = run("score", written(tmp_path, one))
    assert result.exit_code == 0, result.output
    assert "±" not in result.stdout and "Forgetting –" in result.stdout
    assert "RetDev" in result.stdout and "nan" not in result.stdout


def test_collapsed_outputs_are_called_unusable(shipped: tuple[References, Arrays], tmp_path: Path) -> None:
    constant = np.zeros_like(shipped[1]["unlearned"])
    result = run("score", written(tmp_path, {**shipped[1], "unlearned": constant}))
    assert result.exit_code == 0 and "unusable: seed 0" in result.stdout


def test_phi_of_shadow_models_gives_ulira_klom_and_epsilon(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=(40, 6)) + 4 * (name == "original") for name in PHI}
    result = run("score", written(tmp_path, {**arrays, "labels": generator.integers(3, size=40)}), "--json")
    assert result.exit_code == 0, result.output
    numbers = {(each["attack"], each["number"]): each for each in json.loads(result.stdout)["attacks"]}
    assert {"ulira", "klom", "epsilon"} <= {attack for attack, _ in numbers}
    accuracy = numbers["ulira", "accuracy"]
    assert accuracy["original"] > 0.9 > 0.7 > accuracy["value"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda a: a.pop("retrained"), "has no retrained"),
        (lambda a: a.update(labels=a["labels"] + 9), "use 0 … 9"),
        (lambda a: a.update(labels=a["labels"].astype(float)), "whole numbers"),
        (lambda a: a.update(unlearned=a["unlearned"][:, :-1]), "unlearned has shape"),
        (lambda a: a.update(unlearned=a["unlearned"][:2]), "different shapes"),
        (lambda a: a["unlearned"].__setitem__((0, 0, 0), np.nan), "not finite"),
        (lambda a: a.update(split=a["split"][:, :5]), "split has shape"),
        (lambda a: a["split"].__setitem__((0, 0), "train"), "split has 'train'"),
        (lambda a: a["split"].__setitem__(a["split"] == "val", ""), "fewer than two examples of val"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    shipped: tuple[References, Arrays], tmp_path: Path, change: Callable[[Arrays], object], what: str
) -> None:
    arrays = {name: values.copy() for name, values in shipped[1].items()}
    change(arrays)
    result = run("score", written(tmp_path, arrays))
    assert result.exit_code == 2, result.output
    assert what in result.stderr


def test_a_file_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    result = run("score", written(tmp_path, {"labels": np.array([object()], dtype=object)}))
    assert result.exit_code == 2 and "not a file of plain arrays" in result.stderr
    assert run("score", str(tmp_path / "none.npz")).exit_code == 2
