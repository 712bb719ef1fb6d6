import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tests.scoring.evidence import shadows
from unlearn_bench.scoring.attacks.epsilon import attack
from unlearn_bench.scoring.epsilon import CAP, DELTA, epsilons, points

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "epsilon_golden.json").read_text())
PHI = st.lists(st.integers(-5, 5), min_size=2, max_size=12)


def epsilon(unlearned: ArrayLike, retrained: ArrayLike, delta: float = DELTA) -> float:
    """ε of one example."""
    return float(epsilons(np.asarray(unlearned)[None], np.asarray(retrained)[None], delta)[0])


def bound(fnr: float, fpr: float, delta: float = 1e-5) -> float:
    """ε of one rule; −1 for a rule that is dropped."""
    if fnr == 0 and fpr == 0:
        return CAP
    if fnr == 0 or fpr == 0:
        return -1.0
    bounds = [math.log(1 - delta - a) - math.log(b) for a, b in ((fpr, fnr), (fnr, fpr)) if 1 - delta - a > 0]
    return max([0.0, *bounds])


def literal_exact(own: np.ndarray, reference: np.ndarray) -> float:
    """Every interval with ends between or beyond the values, calling one side and the other."""
    values = np.unique(np.concatenate([own, reference])).astype(float)
    cuts = [-np.inf, *(values[1:] + values[:-1]) / 2, np.inf]
    found = [0.0]
    for i, low in enumerate(cuts):
        for high in cuts[i + 1 :]:
            inside = [np.mean((low < side) & (side < high)) for side in (own, reference)]
            found += [bound(1 - inside[0], inside[1]), bound(1 - inside[1], inside[0])]
    return max(found)


def literal_grid(own: np.ndarray, reference: np.ndarray) -> float:
    """The competition's thresholds as the evaluation describes them, all 160,000 of them."""
    ranges = np.ptp(own), np.ptp(reference)
    if min(ranges) / max(ranges) < 0.01:
        return CAP
    high, low = (reference, own) if np.median(reference) > np.median(own) else (own, reference)
    ends = min(own.min(), reference.min()), max(own.max(), reference.max())
    thresholds = np.linspace(*ends, math.ceil(100 * (ends[1] - ends[0])))
    rates = {(np.mean(high < t), np.mean(low >= t)) for t in thresholds}
    narrow, wide = (low, high) if np.ptp(high) >= np.ptp(low) else (high, low)
    width = np.ptp(narrow)
    for right in np.linspace(narrow.min() + width - 2, narrow.max() + 2, 400):
        left = np.linspace(right - width - 2, right - width + 2, 400)[:, None]
        inside = [((left <= side) & (side <= right)).mean(axis=1) for side in (narrow, wide)]
        rates |= set(zip(1 - inside[0], inside[1], strict=True))
    return max(0.0, *(bound(round(a, 12), round(b, 12)) for a, b in rates))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["case"])
def test_values_of_the_competitions_code_are_met(case: dict[str, Any]) -> None:
    assert epsilon(case["unlearned"], case["retrained"]) == pytest.approx(case["epsilon"], abs=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0, 15.0])
def test_the_short_way_over_the_grid_meets_every_rule_and_no_other(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    own, reference = spread * rng.normal(0.5, 1, 13), 1.5 * spread * rng.standard_t(3, 17)
    assert epsilon(own, reference) == pytest.approx(literal_grid(own, reference), abs=1e-9)
    assert epsilon(reference, own) == pytest.approx(literal_grid(reference, own), abs=1e-9)


def test_the_grid_has_no_interval_wider_than_the_narrow_side_by_more_than_two() -> None:
    # An interval from -3.5 to 0.92 would have one error on either side. The grid's go no further left than -2.05.
    own, reference = np.linspace(0, 1, 11), np.array([-10.0] * 4 + [-3.5] + [0.95] * 7)
    assert epsilon(own, reference) == pytest.approx(literal_grid(own, reference), abs=1e-9)
    assert epsilon(own, reference) < literal_exact(own, reference) - 0.3


@given(PHI, PHI)
def test_the_grid_finds_no_more_than_all_intervals_and_half_lines(own: list[int], reference: list[int]) -> None:
    ranges = np.ptp(own), np.ptp(reference)
    if min(ranges) > 0:
        assert epsilon(own, reference) <= literal_exact(np.array(own), np.array(reference)) + 1e-9


def test_separated_sides_give_the_cap_and_one_common_value_does_not() -> None:
    low, high = np.linspace(0, 1, 16), np.linspace(2, 3, 16)
    assert epsilon(low, high) == epsilon(high, low) == CAP
    assert epsilon(low, np.append(high[:-1], 0.5)) < CAP


def test_constant_sides() -> None:
    wide = np.linspace(-1, 1, 8)
    assert epsilon(np.zeros(8), wide) == CAP
    # Nothing tells two equal constants apart: every rule is dropped.
    assert epsilon(np.zeros(8), np.zeros(8)) == 0.0
    assert epsilon(np.zeros(8), np.ones(8)) == CAP


def test_a_range_below_a_hundredth_of_the_other_gives_the_cap() -> None:
    wide = np.linspace(-1, 1, 21)
    narrow = np.linspace(-0.5, 0.5, 21) / 50
    assert epsilon(0.99 * narrow, wide) == CAP
    assert epsilon(1.01 * narrow, wide) < CAP
    assert epsilon(wide, 0.99 * narrow) == CAP


def test_a_larger_delta_excuses_more() -> None:
    own, reference = GOLDEN[0]["unlearned"], GOLDEN[0]["retrained"]
    assert epsilon(own, reference, delta=0.3) < epsilon(own, reference) - 0.1


def test_points_halve_with_every_half_unit() -> None:
    assert points([0.0, 0.499, 0.5, 0.99, 1.0, 4.99]) == pytest.approx([1, 1, 0.5, 0.5, 0.25, 2 / 2**10])
    assert points(CAP) == pytest.approx(0, abs=1e-29)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="ε must be"):
            points([1.0, bad])


@pytest.mark.parametrize("models", [64, 128, 256, 512])
def test_perfect_unlearning_scores_below_a_fifth(models: int) -> None:
    unlearned, retrained = np.random.default_rng(0).standard_normal((2, 400, models))
    assert 0.16 < points(epsilons(unlearned, retrained)).mean() < 0.2


def test_the_attack_reports_points_beside_those_of_perfect_unlearning() -> None:
    rng = np.random.default_rng(1)
    perfect, leaking = shadows(rng, n=300, models=32), shadows(rng, n=300, models=32, shift=3.0)
    found, caught = attack(perfect), attack(leaking)
    ceilings = [attack(evidence.null())["points"] for evidence in (perfect, leaking)]
    assert ceilings == pytest.approx([found["points"]] * 2, abs=0.04)
    assert caught["points"] < 0.5 * ceilings[1]
    assert caught["epsilon"] == np.median(epsilons(leaking.forgotten, leaking.retrained))
    assert found["models"] == 32


def test_bad_input_is_refused() -> None:
    good = np.arange(8.0)
    for bad in (np.append(good, math.nan), np.append(good, math.inf), good[:0]):
        with pytest.raises(ValueError, match="retrained models"):
            epsilon(good, bad)
        with pytest.raises(ValueError, match="unlearned models"):
            epsilon(bad, good)
    with pytest.raises(ValueError, match="outside"):
        epsilon(good, good, delta=1.0)
    with pytest.raises(ValueError, match="same examples"):
        epsilons(np.zeros((2, 4)), np.zeros((3, 4)))
