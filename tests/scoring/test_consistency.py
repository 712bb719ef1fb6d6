"""Units of one kind held to seed units: every number counts in both directions, and honest spread does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unlearn_bench.scoring import consistency
from unlearn_bench.scoring.consistency import NUMBERS, departure, of_model

SPREAD = np.linspace(-1, 1, 10)


def around(name: str, shift: float = 0.0) -> list[float]:
    """Values of ten units; ``shift``: how far their mean is from that of others, in units of what is allowed."""
    number = NUMBERS[name]
    values = (shift + 0.1 * SPREAD) * number.allowed
    return list(10 * number.least * np.exp(values) if number.least else (number.retrained or 0.0) + values)


@pytest.mark.parametrize("direction", [-1, 1])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_gives_units_away_in_both_directions(name: str, direction: int) -> None:
    seeds = {each: around(each) for each in NUMBERS}
    assert departure("shadow", seeds, seeds) == ""
    assert departure("shadow", seeds, {**seeds, name: around(name, 0.9 * direction)}) == ""
    reason = departure("shadow", seeds, {**seeds, name: around(name, 1.2 * direction)})
    assert reason.startswith(f"{NUMBERS[name].title} is ") and " in shadow units and " in reason


def test_what_differs_most_is_named() -> None:
    seeds = {"retain": [0.0, 0.0], "val": [0.0, 0.0]}
    assert departure("swapped", seeds, {"retain": [-0.9], "val": [-0.5]}) == (
        "accuracy on R minus Retrain's is -0.90 in swapped units and 0.00 in timed ones"
    )


def test_a_number_is_judged_where_both_have_it() -> None:
    assert departure("shadow", {"val": [0.0]}, {"retain": [-0.9], "weights": [1.0]}) == ""
    assert departure("shadow", {}, {"retain": [-0.9]}) == departure("shadow", {"retain": []}, {"retain": [0.0]}) == ""


def test_a_difference_within_the_error_of_the_means_is_none() -> None:
    seeds, others = [-0.5, 0.5], [0.3, 0.3]
    assert departure("shadow", {"val": seeds}, {"val": others}) == ""
    assert departure("shadow", {"val": [0.0, 0.0]}, {"val": others}) != ""


def test_what_harms_seed_models_may_harm_others_more() -> None:
    assert departure("shadow", {"retain": [0.0]}, {"retain": [-0.3]}) != ""
    assert departure("shadow", {"retain": [-0.1]}, {"retain": [-0.4]}) == ""


def test_small_work_and_small_steps_are_not_told_apart() -> None:
    for name in ("seconds", "weights"):
        assert departure("shadow", {name: [0.0]}, {name: [2.9 * NUMBERS[name].least]}) == ""
        assert departure("shadow", {name: [0.0]}, {name: [3.1 * NUMBERS[name].least]}) != ""


def test_a_retrained_model_has_the_numbers_of_perfect_unlearning() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 5, 400), rng.normal(size=(400, 5))
    parts = dict(zip(("retain", "forget", "val", "test"), np.split(np.arange(400), 4), strict=True))
    logits[np.arange(400), labels] += 1.5
    numbers = of_model(logits, logits, labels, parts)
    assert numbers == {"retain": 0, "val": 0, "retdev": 0, "loss_25": 0.25, "loss_50": 0.5, "loss_75": 0.75}
    garbage = of_model(np.zeros((400, 5)), logits, labels, parts)
    assert garbage["retain"] < -0.3 and garbage["val"] < -0.3 and garbage["retdev"] > 1
    assert garbage.keys() <= NUMBERS.keys()
    assert math.isclose(consistency.excess({"retain": [0.0]}, {"retain": [-0.5]})["retain"], 2.0)
