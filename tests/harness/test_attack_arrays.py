"""``ub.attack``: the panel on arrays of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import unlearn_bench as ub


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """Logits of five seeds: an original that is surer of R and F, and models that are surer of R only."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 400)
    split = np.repeat(["retain", "forget", "val", "test"], 100)

    def models(*trained_on: str) -> np.ndarray:
        noise = np.where(np.isin(split, trained_on), 0.5, 2.0)[:, None]
        return np.stack([4 * np.eye(3)[labels] + noise * generator.normal(size=(400, 3)) for _ in range(5)])

    logits = {name: models("retain") for name in ("retrained", "unlearned", "null")}
    return {"labels": labels, "split": split, "original": models("retain", "forget"), **logits}


def test_the_panel_finds_the_original_and_not_a_retrained_model(arrays: dict[str, np.ndarray]) -> None:
    table = ub.attack.panel_of(arrays).set_index(["attack", "number"])
    umia = table.loc[("umia", "accuracy")]
    assert umia["original"] > 0.65 > 0.58 > umia["value"] > 0.42
    scores = {(each.attack, each.number): each.value for each in ub.score(arrays).attacks}
    assert dict(table["value"]) == scores


def test_one_attack_runs_by_its_name_or_as_a_file(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    assert set(ub.attack.panel_of(arrays, "rmia")["attack"]) == {"rmia"}
    path = tmp_path / "mean_loss.py"
    path.write_text("def attack(model):\n    return float(model.losses[model.parts['forget']].mean())\n")
    (row,) = ub.attack.panel_of(arrays, path).to_dict("records")
    assert row["attack"] == "mean_loss" and row["original"] < row["null"]
    with pytest.raises(ub.BenchError, match="there is no attack 'nonsense'"):
        ub.attack.panel_of(arrays, "nonsense")


def test_attacks_are_functions_of_arrays(arrays: dict[str, np.ndarray]) -> None:
    forget, val, test = (np.flatnonzero(arrays["split"] == part) for part in ("forget", "val", "test"))
    losses = [ub.attack.losses(logits, arrays["labels"], val) for logits in arrays["original"]]
    assert np.mean([ub.attack.umia(each[forget], each[test]) for each in losses]) > 0.65
    assert np.mean([ub.attack.umia_two_sided(each[forget], each[test]) for each in losses]) > 0.65
    phi = {
        name: np.stack([ub.attack.phi(logits, arrays["labels"], val) for logits in arrays[name]], axis=1)
        for name in ("original", "retrained", "null")
    }
    assert ub.attack.ulira(phi["original"][forget], phi["null"][forget]).accuracy > 0.55
    assert ub.attack.klom(phi["original"][forget], phi["retrained"][forget]).shape == (100,)
    assert np.median(ub.attack.epsilons(phi["original"][forget], phi["retrained"][forget])) >= 0
