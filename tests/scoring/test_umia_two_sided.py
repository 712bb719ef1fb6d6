import math
from dataclasses import replace

import numpy as np
import pytest

from tests.scoring.evidence import made, two_class
from unlearn_bench.scoring.attacks.umia_two_sided import attack, umia_two_sided
from unlearn_bench.scoring.umia import umia


def spread(rng: np.random.Generator, size: int, unseen: int) -> tuple[np.ndarray, np.ndarray]:
    """Forget losses on both sides of the unseen ones, with the same median."""
    return np.exp(rng.normal(0, 0.4, size) + rng.choice([-1.5, 1.5], size)), np.exp(rng.normal(0, 0.8, unseen))


def test_losses_on_both_sides_are_caught_where_one_threshold_sees_nothing() -> None:
    rng = np.random.default_rng(0)
    found = [(umia_two_sided(*sides), umia(*map(np.log, sides))) for sides in (spread(rng, 128, 400) for _ in range(5))]
    assert np.mean(found, axis=0) == pytest.approx([0.83, 0.5], abs=0.04)


def test_a_narrow_forget_set_amid_wide_test_losses_is_caught() -> None:
    rng = np.random.default_rng(1)
    assert umia_two_sided(rng.normal(0, 0.2, 128), rng.normal(0, 2, 400)) > 0.85


def test_identical_distributions_read_one_half() -> None:
    rng = np.random.default_rng(2)
    found = [umia_two_sided(rng.normal(size=128), rng.normal(size=400)) for _ in range(40)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.01)
    assert np.std(found) < 0.03


def test_a_shift_is_seen_as_well_as_by_one_threshold() -> None:
    rng = np.random.default_rng(3)
    sides = [(rng.normal(1, 1, 200), rng.normal(0, 1, 600)) for _ in range(5)]
    one, two = (np.mean([function(*pair) for pair in sides]) for function in (umia, umia_two_sided))
    assert two == pytest.approx(one, abs=0.02)


def test_only_the_order_of_the_losses_counts() -> None:
    rng = np.random.default_rng(4)
    forget, unseen = spread(rng, 60, 200)
    expected = umia_two_sided(forget, unseen)
    assert umia_two_sided(1e9 * forget**3, 1e9 * unseen**3) == expected
    assert umia_two_sided(rng.permutation(forget), rng.permutation(unseen)) == expected


def test_differences_too_small_for_single_precision_are_seen() -> None:
    rng = np.random.default_rng(7)
    forget, unseen = spread(rng, 60, 200)
    found = umia_two_sided(2.3 + 1e-11 * forget, 2.3 + 1e-11 * unseen)
    assert found == pytest.approx(umia_two_sided(forget, unseen), abs=0.01)


def test_a_few_outliers_are_not_learnt() -> None:
    assert umia_two_sided(np.append(np.zeros(97), np.full(3, 9.0)), np.zeros(100)) == 0.5


def test_losses_without_information_read_one_half() -> None:
    assert umia_two_sided(np.full(128, math.log(10)), np.full(400, math.log(10))) == 0.5


def test_more_than_an_interval_is_not_learnt() -> None:
    # Seven bands by turns: a rule of three thresholds cannot follow, and one that could would learn noise elsewhere.
    bands = np.linspace(0, 7, 700, endpoint=False)
    assert umia_two_sided(bands[bands % 2 < 1], bands[bands % 2 >= 1]) < 0.75


def test_sides_of_any_size_and_either_way_round() -> None:
    rng = np.random.default_rng(5)
    forget, unseen = spread(rng, 300, 100)
    assert umia_two_sided(forget, unseen) > 0.7
    assert umia_two_sided(unseen, forget) > 0.7


def test_bad_losses_fail_as_in_the_one_sided_attack() -> None:
    with pytest.raises(ValueError, match="1 of 31 forget losses are not finite"):
        umia_two_sided(np.append(np.ones(30), math.nan), np.ones(30))
    with pytest.raises(ValueError, match="at least 10 unseen losses"):
        umia_two_sided(np.ones(30), np.ones(9))


def test_the_attack_compares_forget_with_test_losses() -> None:
    rng = np.random.default_rng(6)
    model = made(rng, sizes=(100, 100, 100, 100))
    phi = rng.normal(size=400)
    phi[model.parts["forget"]] = rng.choice([-4.0, 4.0], 100)
    found = attack(replace(model, logits=two_class(phi)))
    assert found["accuracy"] > 0.95
    assert found["indisc"] == pytest.approx(2 - 2 * found["accuracy"])
