"""What tricks, nothing, and perfect unlearning get on the shipped board: a position, or none, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from tests.baselines.conftest import load_entry
from unlearn_bench.harness.entries.entry import BASELINES, from_source
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.report import terminal_board
from unlearn_bench.harness.results import board
from unlearn_bench.harness.results.board_entries import board_entries
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.units import unit_store
from unlearn_bench.harness.units.unit_kinds import SeedUnit
from unlearn_bench.sandbox.inside import models
from unlearn_bench.sandbox.inside.loaders import make_loaders

pytestmark = pytest.mark.slow

Logits = NDArray[np.floating]


@pytest.fixture(scope="module")
def default() -> References:
    return References(load_track("digits-resnet18"), Store())


def put(references: References, name: str, logits: Callable[[int], Logits]) -> None:
    """Let an entry stand on the board whose models have these logits; its times are those of ft."""
    entry = from_source(name, f"'''{name}'''\ndef unlearn(model, retain):\n    return model\n".encode())
    ft = next(each for each in board_entries(references) if each.name == "ft")
    for seed, record in ft.records.items():
        stored = references.store.put(unit_store.pack(logits(seed).astype(np.float32)))
        unit = SeedUnit(entry, references.track, seed)
        own = replace(record, key=unit.key, entry=entry.id, name=name, sha256=entry.sha256, logits=stored)
        own.save(references.store)


def noisy(references: References, seed: int) -> Logits:
    """Of the original with noise on its weights, a tenth of their spread."""
    model = models.build(references.track.model_spec)
    torch.manual_seed(seed)
    state = load(references.weights(Role("original", seed)))
    moved = {name: w + 0.1 * w.std() * torch.randn_like(w) if w.ndim > 1 else w for name, w in state.items()}
    model.load_state_dict(moved)
    return _outputs(references, model)


def briefly(references: References, seed: int) -> Logits:
    """Of a retraining with half of the epochs."""
    track, examples = references.track, references.examples
    parts, dataset = examples.parts(seed), examples.dataset
    data = {}
    for part in ("retain", "forget", "val"):
        data[f"{part}_images"] = torch.from_numpy(dataset.images[parts[part]])
        data[f"{part}_labels"] = torch.from_numpy(dataset.labels[parts[part]])
    model = models.build(track.model_spec)
    model.load_state_dict(load(references.weights(Role("original", seed))))
    loaders = make_loaders(data, track.data.mean, track.data.std, 1, track.protocol.batch_size, seed, "cpu")
    torch.manual_seed(seed)
    result = load_entry(BASELINES / "retrain.py").unlearn(model, *loaders, epochs=10)
    return _outputs(references, model if result is None else result)


def _outputs(references: References, model: torch.nn.Module) -> Logits:
    return infer(model, torch.from_numpy(references.examples.dataset.images), normaliser(references.track))


@pytest.fixture(scope="module")
def standings(default: References, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    references = References(default.track, Store(tmp_path_factory.mktemp("standings")))
    records = next(each.records for each in board_entries(references) if each.name == "eu_k")

    def of(kind: str) -> Callable[[int], Logits]:
        return lambda seed: references.logits(Role(kind, seed)).astype(float)  # type: ignore[arg-type]

    def eu_k(seed: int) -> Logits:
        logits = unit_store.logits(references.store, records[seed])
        assert logits is not None
        return logits

    put(references, "as_it_is", of("original"))
    put(references, "flat_head", lambda seed: of("original")(seed) * 1e-20)
    put(references, "temperature", lambda seed: of("original")(seed) / 100)
    put(references, "noise", lambda seed: noisy(references, seed))
    put(references, "constant", lambda seed: np.tile(np.eye(10)[3], (len(references.examples.labels), 1)))
    put(references, "retraining", of("retrained"))
    put(references, "flat_retraining", lambda seed: of("retrained")(seed) * 1e-20)
    put(references, "brief", lambda seed: briefly(references, seed))
    put(references, "flat_eu_k", lambda seed: eu_k(seed) * 1e-3)
    return board.board(references).set_index("entry", drop=False)


@pytest.mark.parametrize("name", ["as_it_is", "flat_head", "temperature", "noise", "constant"])
def test_nothing_unlearned_has_no_position_however_it_is_hidden(standings: pd.DataFrame, name: str) -> None:
    row = standings.loc[name]
    assert pd.isna(row["position"]) and row["reason"], row[["state", "forgetting", "forgetting_high"]]
    assert row["state"] == ("unusable" if name == "constant" else "no better")
    assert terminal_board.verdict(standings, name).startswith(f"no position: {row['reason']}")


@pytest.mark.parametrize("name", ["retraining", "flat_retraining"])
def test_retraining_stands_in_the_first_group_of_retention_and_forgetting(standings: pd.DataFrame, name: str) -> None:
    row = standings.loc[name]
    assert row[["group_retdev", "group_forgetting"]].tolist() == ["G1", "G1"]
    assert row["provisional"] == "U-LiRA has not run"
    above = standings[standings["position"] < row["position"]]  # they are faster, and G1 in the two others as well
    assert (above[["group_retdev", "group_forgetting"]] == "G1").all(axis=None)


def test_half_a_retraining_forgets_and_keeps_less(standings: pd.DataFrame) -> None:
    row, whole = standings.loc["brief"], standings.loc["retraining"]
    assert row["group_forgetting"] == "G1" and row["retdev"] > whole["retdev"]
    assert row["position"] >= whole["position"]


def test_a_flattened_copy_stands_where_the_original_of_it_does(standings: pd.DataFrame) -> None:
    numbers = ["retdev", "umia", "indisc"]
    copy, shipped = standings.loc["flat_eu_k"], standings.loc["eu_k"]
    assert copy[numbers].tolist() == pytest.approx(shipped[numbers].tolist(), abs=1e-6)
    assert copy["group_forgetting"] == shipped["group_forgetting"]


def test_a_baseline_that_is_no_better_than_original_sets_groups_all_the_same(
    standings: pd.DataFrame, default: References
) -> None:
    references, bt = standings["state"] == "reference", standings["entry"] == "bt"
    assert standings.loc[bt, "state"].tolist() == ["no better"]
    said = "no baseline has usable models here"
    assert said not in terminal_board.table(standings[references | bt], default.track, {})
    assert said in terminal_board.table(standings[references], default.track, {})
