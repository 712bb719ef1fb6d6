import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unlearn_bench.scoring.evidence import ShadowEvidence
from unlearn_bench.scoring.panel import load
from unlearn_bench.scoring.ulira import held_out_scores, ulira

Scores = tuple[np.ndarray, np.ndarray]


def drawn(examples: int, pairs: int, seed: int, effect: bool = True, equal: bool = False) -> Scores:
    """φ [n, P] when forgotten and when never seen; ``equal``: one spread for all examples."""
    rng = np.random.default_rng(seed)
    mean = rng.normal(3.0, 2.5, (examples, 1))
    spread = np.full((examples, 1), 1.6) if equal else rng.gamma(4.0, 0.4, (examples, 1))
    shift = np.abs(rng.normal(0.0, 0.8, (examples, 1))) * effect
    ratio = rng.uniform(0.6, 1.2, (examples, 1)) if effect else 1.0
    never = mean + spread * rng.standard_normal((examples, pairs))
    return mean + shift * spread + spread * ratio * rng.standard_normal((examples, pairs)), never


def accuracy(scores: Scores) -> float:
    forgotten, never = scores
    return float(
        np.mean([np.mean(forgotten > 0) + np.mean(forgotten == 0) / 2, np.mean(never < 0) + np.mean(never == 0) / 2])
    )


def held_out(forgotten: np.ndarray, never: np.ndarray) -> Scores:
    return held_out_scores(forgotten, never)


def in_sample(forgotten: np.ndarray, never: np.ndarray) -> Scores:
    """Every value is scored by fits that include it."""
    fits = [stats.norm(side.mean(1, keepdims=True), side.std(1, ddof=1, keepdims=True)) for side in (forgotten, never)]
    first, second = (fits[0].logpdf(side) - fits[1].logpdf(side) for side in (forgotten, never))
    return first, second


def value_left_out(forgotten: np.ndarray, never: np.ndarray) -> Scores:
    """Only the scored value is left out: its own side is fitted to one value less than the opposite side."""

    def scores(own: np.ndarray, opposite: np.ndarray) -> np.ndarray:
        whole = stats.norm(opposite.mean(1), opposite.std(1, ddof=1))
        columns = []
        for pair, values in enumerate(own.T):
            rest = np.delete(own, pair, axis=1)
            columns.append(stats.norm(rest.mean(1), rest.std(1, ddof=1)).logpdf(values) - whole.logpdf(values))
        return np.stack(columns, axis=1)

    return scores(forgotten, never), -scores(never, forgotten)


def null_accuracy(attack: Callable[[np.ndarray, np.ndarray], Scores], pairs: int, equal: bool) -> float:
    """Mean over draws of 6,000 examples: one draw at 4 pairs has a standard error of .003."""
    draws = {4: 6, 8: 4}.get(pairs, 1)
    return float(np.mean([accuracy(attack(*drawn(6000, pairs, seed, False, equal))) for seed in range(draws)]))


@pytest.mark.parametrize("equal", [False, True], ids=["unequal spreads", "equal spreads"])
@pytest.mark.parametrize("pairs", [4, 8, 16, 32, 64])
def test_without_an_effect_the_accuracy_is_one_half(pairs: int, equal: bool) -> None:
    assert null_accuracy(held_out, pairs, equal) == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("pairs", [4, 8, 16, 32, 64])
def test_scoring_the_fitted_values_would_find_an_effect_where_there_is_none(pairs: int) -> None:
    assert null_accuracy(in_sample, pairs, False) > 0.53


@pytest.mark.parametrize("pairs", [4, 8])
def test_leaving_out_only_the_scored_value_would_read_below_one_half(pairs: int) -> None:
    assert null_accuracy(value_left_out, pairs, False) < 0.494


@pytest.mark.parametrize(("pairs", "expected"), [(4, 0.587), (8, 0.608), (16, 0.620), (32, 0.628), (64, 0.635)])
def test_power_on_synthetic_phi(pairs: int, expected: float) -> None:
    assert ulira(*drawn(6000, pairs, seed=0)).accuracy == pytest.approx(expected, abs=0.008)


def literal(forgotten: np.ndarray, never: np.ndarray, shrink: bool = True) -> Scores:
    """The definition, pair by pair and example by example; without ``shrink`` each has its own variance, as in LiRA."""
    scores = np.empty((2, *forgotten.shape))
    m = forgotten.shape[1] - 1
    for pair in range(m + 1):
        densities = []
        for side in (forgotten, never):
            rest = np.delete(side, pair, axis=1)
            s2 = rest.var(axis=1, ddof=1)
            mean, second = s2.mean(), (s2**2).mean() / (1 + 2 / (m - 1))
            a = 2 + mean**2 / max(second - mean**2, mean**2 / 1e6)
            nu = 2 * a + m - 1
            variance = (1 + 1 / m) * (2 * mean * (a - 1) + (m - 1) * s2) / nu
            floored = np.maximum(s2, 1e-6 * mean)
            centre = rest.mean(axis=1)
            densities.append(stats.t(nu, centre, np.sqrt(variance)) if shrink else stats.norm(centre, np.sqrt(floored)))
        for which, side in enumerate((forgotten, never)):
            scores[which, :, pair] = densities[0].logpdf(side[:, pair]) - densities[1].logpdf(side[:, pair])
    return scores[0], scores[1]


@pytest.mark.parametrize(("pairs", "expected"), [(4, 0.572), (8, 0.603)])
def test_shrinkage_is_worth_most_with_few_pairs(pairs: int, expected: float) -> None:
    scores = [literal(*drawn(6000, pairs, seed), shrink=False) for seed in range(3)]
    assert np.mean([accuracy(found) for found in scores]) == pytest.approx(expected, abs=0.005)
    shrunk = [held_out_scores(*drawn(6000, pairs, seed)) for seed in range(3)]
    assert np.mean([accuracy(found) for found in shrunk]) > np.mean([accuracy(found) for found in scores]) + 0.002


@pytest.mark.parametrize("pairs", [3, 4, 9])
@pytest.mark.parametrize("equal", [False, True])
def test_scores_from_sums_equal_refitting_without_each_pair(pairs: int, equal: bool) -> None:
    forgotten, never = drawn(1500, pairs, seed=5, effect=not equal, equal=equal)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        found = held_out_scores(layout(forgotten), layout(never))
        np.testing.assert_allclose(found, literal(forgotten, never), rtol=1e-5, atol=1e-6)


def test_two_pairs_decide_by_the_nearer_value_of_the_other_pair() -> None:
    forgotten, never = drawn(500, 2, seed=6)
    near = np.abs(forgotten - never[:, ::-1]) - np.abs(forgotten - forgotten[:, ::-1])
    found = held_out_scores(forgotten, never)
    np.testing.assert_array_equal(np.sign(found[0]), np.sign(near))
    assert ulira(forgotten, never).degenerate == 500


def test_two_pairs_share_the_variance_of_the_pair_that_is_not_held_out() -> None:
    forgotten, never = drawn(500, 2, seed=6)
    forgotten[:, 1] *= 3
    for pair, rest in ((0, 1), (1, 0)):
        variance = np.mean((forgotten[:, rest] - never[:, rest]) ** 2) / 2 * (1 + 1)
        for found, value in zip(held_out_scores(forgotten, never), (forgotten, never), strict=True):
            nearer = (value[:, pair] - never[:, rest]) ** 2 - (value[:, pair] - forgotten[:, rest]) ** 2
            np.testing.assert_allclose(found[:, pair], nearer / variance / 2, rtol=1e-3, atol=1e-6)


def test_a_tie_counts_one_half_beside_a_right_decision() -> None:
    # Pair 0 held out: forgotten 1 lies half-way between 0 and 2.
    assert ulira([[1.0, 0.0]], [[2.0, 2.0]]).pair_accuracies == (0.75, 1.0)


def test_a_known_outcome_counts_right_wrong_and_tied_decisions() -> None:
    # Two examples told apart by far, one the same on both sides, one told apart in all pairs but the last.
    forgotten = np.array([[9.0, 9.1, 9.2, 9.1], [5.0, 5.1, 5.2, 5.1], [1.0, 1.1, 1.2, 1.3], [9.0, 9.1, 9.2, 0.1]])
    never = np.array([[0.0, 0.1, 0.2, 0.1], [0.0, 0.1, 0.2, 0.1], [1.0, 1.1, 1.2, 1.3], [0.0, 0.1, 0.2, 9.1]])
    found = ulira(forgotten, never)
    assert found.pair_accuracies == pytest.approx([0.875, 0.875, 0.875, 0.625])
    assert found.accuracy == pytest.approx(0.8125)
    assert found.sd == pytest.approx(np.std([1, 1, 0.5, 0.75]))
    assert found.indisc == pytest.approx(1 - 0.625)
    assert found.smallest_fpr == 1 / 16
    assert found.degenerate == 0


def test_auc_and_rates_match_their_definitions_with_ties() -> None:
    rng = np.random.default_rng(7)
    forgotten, never = np.round(drawn(400, 5, seed=7), 0)
    forgotten[:40] = never[:40] = rng.integers(0, 3, (40, 5))  # scores of exactly 0 on both sides
    scores = held_out_scores(forgotten, never)
    positives, negatives = scores[0].ravel(), scores[1].ravel()
    found = ulira(forgotten, never)
    wins = (positives[:, None] > negatives).mean() + (positives[:, None] == negatives).mean() / 2
    assert found.auc == pytest.approx(wins, abs=1e-12)
    for rate, tpr in ((0.01, found.tpr_1), (0.001, found.tpr_01)):
        allowed = [np.mean(positives > bound) for bound in negatives if np.mean(negatives > bound) <= rate]
        assert tpr == pytest.approx(max(allowed), abs=1e-12)


# Degenerate φ


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_constant_phi_of_all_examples_are_ties(pairs: int) -> None:
    constant = np.full((300, pairs), 0.1)
    with np.errstate(all="raise"):
        scores = held_out_scores(constant, constant)
        found = ulira(constant, constant)
    assert not np.any(scores)
    assert (found.accuracy, found.low, found.high, found.auc) == (0.5, 0.5, 0.5, 0.5)
    assert (found.tpr_1, found.tpr_01, found.sd, found.degenerate) == (0, 0, 0, 300)


@pytest.mark.parametrize("pairs", [2, 3, 8])
def test_different_constants_give_an_example_away(pairs: int) -> None:
    with np.errstate(all="raise"):
        scores = held_out_scores(np.full((300, pairs), 7.1), np.full((300, pairs), 7.0))
    assert np.isfinite(scores).all()
    assert accuracy(scores) == 1.0


def test_examples_without_spread_are_counted_and_scored_not_dropped() -> None:
    forgotten, never = drawn(1000, 8, seed=8)
    forgotten[:10] = 12.0  # constant on one side
    never[20:30] = 3.0  # constant but for one value: the fit that leaves this one out sees no spread
    never[20:30, 5] = 4.0
    never[30:35] = 3.0  # the same with the first value
    never[30:35, 0] = 4.0
    forgotten[40:45] = never[40:45] = -2.5  # constant on both sides
    forgotten[50, 2:] = 1.0  # two other values: every fit sees a spread
    with np.errstate(all="raise"):
        assert np.isfinite(held_out_scores(forgotten, never)).all()
        found = ulira(forgotten, never)
    assert found.degenerate == 30
    assert all(
        map(math.isfinite, [found.accuracy, found.low, found.high, found.sd, found.auc, found.tpr_1, found.tpr_01])
    )
    usual = ulira(*drawn(1000, 8, seed=8))
    assert found.accuracy == pytest.approx(usual.accuracy, abs=0.01)


def test_one_side_without_any_spread_is_told_apart() -> None:
    never = drawn(500, 8, seed=9)[1]
    with np.errstate(all="raise"):
        scores = held_out_scores(np.full_like(never, 40.0), never)
        assert np.isfinite(scores).all()
        assert accuracy(scores) == 1.0


@pytest.mark.parametrize("scale", [1e-4, 1e4, 1e30])
def test_giant_and_tiny_phi_are_decided_as_usual(scale: float) -> None:
    forgotten, never = drawn(400, 6, seed=10)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = held_out_scores(scale * forgotten, scale * never)
    np.testing.assert_allclose(found, held_out_scores(forgotten, never), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("pairs", [2, 3, 6])
def test_any_finite_float32_gives_finite_scores(pairs: int) -> None:
    rng = np.random.default_rng(14)
    forgotten, never = rng.choice(np.array([-3e38, -1e4, -1e-30, 0.0, 1e4, 3e38], dtype=np.float32), (2, 300, pairs))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(held_out_scores(forgotten, never)).all()


def test_one_value_far_off_does_not_blind_the_fit_that_leaves_it_out() -> None:
    forgotten, never = drawn(400, 6, seed=15)
    rng = np.random.default_rng(15)
    forgotten[np.arange(400), rng.integers(6, size=400)] = rng.uniform(1e8, 1e9, 400)
    with np.errstate(all="raise"):
        assert np.isfinite(held_out_scores(forgotten, never)).all()
        forgotten[:, 1:] = never[:, 1:]
        forgotten[:, 0] = 1e9 * rng.uniform(1, 2, 400)  # here only the first fit has no such value
        assert np.isfinite(held_out_scores(forgotten, never)).all()


def test_an_offset_hides_nothing() -> None:
    forgotten, never = drawn(400, 6, seed=11)
    found = held_out_scores(forgotten + 1e4, never + 1e4)
    np.testing.assert_allclose(found, held_out_scores(forgotten, never), rtol=1e-6, atol=1e-6)


def test_float32_phi_are_scored_in_float64() -> None:
    forgotten, never = (side.astype(np.float32) for side in drawn(400, 6, seed=12))
    np.testing.assert_array_equal(
        held_out_scores(forgotten, never), held_out_scores(forgotten.astype(np.float64), never.astype(np.float64))
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_phi_that_are_not_finite_are_refused_by_side(bad: float) -> None:
    good = np.zeros((5, 4))
    wrong = good.copy()
    wrong[2, 1] = bad
    with pytest.raises(ValueError, match="1 of 20 forgotten φ are not finite"):
        ulira(wrong, good)
    with pytest.raises(ValueError, match="1 of 20 never-seen φ are not finite"):
        held_out_scores(good, wrong)


def test_what_cannot_be_held_out_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 2 pairs of splits \(4 splits\)"):
        ulira(np.zeros((5, 1)), np.zeros((5, 1)))
    for other in (np.zeros((5, 3)), np.zeros((4, 4)), np.zeros(20)):
        with pytest.raises(ValueError, match="both sides of the same pairs expected"):
            ulira(np.zeros((5, 4)), other)
    with pytest.raises(ValueError, match="expected"):
        ulira(np.zeros((0, 4)), np.zeros((0, 4)))


# Properties

sizes = {"examples": st.integers(1, 600), "pairs": st.integers(2, 12), "seed": st.integers(0, 2**32 - 1)}


@settings(max_examples=40, deadline=None)
@given(**sizes)
def test_the_order_of_pairs_and_of_examples_does_not_matter(examples: int, pairs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    forgotten, never = drawn(examples, pairs, seed)
    rows, columns = rng.permutation(examples), rng.permutation(pairs)
    moved = held_out_scores(forgotten[rows][:, columns], never[rows][:, columns])
    for found, usual in zip(moved, held_out_scores(forgotten, never), strict=True):
        np.testing.assert_allclose(found, usual[rows][:, columns], rtol=1e-6, atol=1e-6)
    outcome, expected = ulira(forgotten[rows][:, columns], never[rows][:, columns]), ulira(forgotten, never)
    assert outcome.accuracy == pytest.approx(expected.accuracy)
    assert (outcome.low, outcome.high) == pytest.approx((expected.low, expected.high))


@settings(max_examples=40, deadline=None)
@given(**sizes)
def test_exchanged_sides_are_told_apart_as_well(examples: int, pairs: int, seed: int) -> None:
    forgotten, never = drawn(examples, pairs, seed)
    scores, exchanged = held_out_scores(forgotten, never), held_out_scores(never, forgotten)
    np.testing.assert_array_equal(exchanged[0], -scores[1])
    np.testing.assert_array_equal(exchanged[1], -scores[0])
    assert ulira(never, forgotten).accuracy == ulira(forgotten, never).accuracy


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pairs=st.integers(2, 12))
def test_a_larger_shift_is_told_apart_no_worse(seed: int, pairs: int) -> None:
    forgotten, never = drawn(1500, pairs, seed, effect=False)
    found = [ulira(forgotten + shift, never).accuracy for shift in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 40.0)]
    assert (np.diff(found) > -0.02).all()
    assert found[0] < 0.56
    assert found[-1] > 0.98


# The panel


def test_the_panel_reads_both_comparisons_and_the_null() -> None:
    forgotten, never = drawn(2000, 8, seed=13)
    retrained, retrained_never = drawn(2000, 8, seed=13, effect=False)
    nothing = np.zeros_like(never)
    labels = np.zeros(2000, dtype=np.int64)
    shadows = ShadowEvidence(
        forgotten, never, retrained, retrained_never, nothing, nothing, nothing + 9, nothing, labels
    )
    attack = load("ulira")
    assert (attack.title, attack.models) == ("U-LiRA", "shadows")
    found, usual, against = attack.run(shadows), ulira(forgotten, never), ulira(forgotten, retrained)
    assert next(iter(found)) == "accuracy"
    expected = {"accuracy": usual.accuracy, "accuracy_low": usual.low, "accuracy_high": usual.high, "sd": usual.sd}
    expected |= {"auc": usual.auc, "tpr_1": usual.tpr_1, "tpr_01": usual.tpr_01, "degenerate": 0}
    expected |= {"smallest_fpr": 1 / 16000, "indisc": usual.indisc, "accuracy_retrained": against.accuracy}
    expected |= {"accuracy_retrained_low": against.low, "accuracy_retrained_high": against.high}
    assert found == expected
    null = attack.run(shadows.null())
    assert null["accuracy"] == ulira(retrained, retrained_never).accuracy == pytest.approx(0.5, abs=0.01)
    assert attack.run(shadows.before())["accuracy"] == 1.0
