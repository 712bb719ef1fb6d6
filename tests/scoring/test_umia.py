import math

import numpy as np
import pytest

from unlearn_bench.scoring.umia import discernibility, indiscernibility, sampling_error, umia


def losses(rng: np.random.Generator, size: int, confidence: float = 2.0) -> np.ndarray:
    """Cross-entropies as a network makes them: many tiny, a long tail."""
    return np.logaddexp(0.0, -rng.normal(confidence, 3.0, size))


def test_identical_distributions_read_one_half_within_the_sampling_error() -> None:
    rng = np.random.default_rng(1)
    found = np.array([umia(losses(rng, 100), losses(rng, 320)) for _ in range(30)])
    error = sampling_error(100, 320) / 2  # of the accuracy; Indisc doubles it
    assert abs(found.mean() - 0.5) < 3 * error / math.sqrt(30)
    assert 0.6 * error < found.std() < 1.4 * error


def test_separated_distributions_read_one() -> None:
    rng = np.random.default_rng(2)
    assert umia(rng.uniform(0.0, 0.1, 50), rng.uniform(1.0, 3.0, 170)) == 1.0


def test_a_leak_is_seen_either_way_round() -> None:
    rng = np.random.default_rng(3)
    low, high = losses(rng, 200, confidence=5.0), losses(rng, 400, confidence=1.0)
    assert umia(low, high) > 0.65
    assert umia(high[:200], low) > 0.65


def test_losses_without_information_read_one_half() -> None:
    assert umia(np.full(128, math.log(10)), np.full(400, math.log(10))) == 0.5


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-3, 1e4])
def test_shrinking_or_stretching_the_losses_hides_nothing(scale: float) -> None:
    rng = np.random.default_rng(4)
    low, high = losses(rng, 128, confidence=6.0), losses(rng, 400, confidence=1.0)
    assert umia(2.3 + scale * low, 2.3 + scale * high) == pytest.approx(umia(low, high), abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_every_example_of_the_larger_side_is_used_once(seed: int) -> None:
    # Forget losses 0, unseen 1, but for one unseen example that looks forgotten: the only error, in one chunk of three.
    unseen = np.ones(60)
    unseen[17] = 0.0
    assert umia(np.zeros(20), unseen, seed) == pytest.approx(1 - 1 / 120)
    # The same with the sides exchanged.
    assert umia(unseen, np.zeros(20), seed) == pytest.approx(1 - 1 / 120)


def test_a_remainder_is_left_out_by_the_shuffle_not_by_position() -> None:
    unseen = np.ones(79)
    unseen[-1] = 0.0  # the only error, unless it is among the 19 that fill no chunk
    found = {round(umia(np.zeros(20), unseen, seed), 9) for seed in range(12)}
    assert found == {1.0, round(1 - 1 / 120, 9)}


def test_the_order_of_the_examples_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    forget, unseen = losses(rng, 60, 4.0), losses(rng, 205)
    assert umia(rng.permutation(forget), rng.permutation(unseen)) == umia(forget, unseen)


def test_another_shuffle_moves_the_result_by_little() -> None:
    rng = np.random.default_rng(6)
    forget, unseen = losses(rng, 200, 4.0), losses(rng, 650)
    found = [umia(forget, unseen, seed) for seed in range(5)]
    assert len(set(found)) > 1
    assert np.ptp(found) < 0.03


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_fails_with_the_side(bad: float) -> None:
    good = np.ones(30)
    with pytest.raises(ValueError, match="1 of 31 forget losses are not finite"):
        umia(np.append(good, bad), good)
    with pytest.raises(ValueError, match="1 of 31 unseen losses are not finite"):
        umia(good, np.append(good, bad))


def test_fewer_than_ten_examples_a_side_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 10 forget losses"):
        umia(np.ones(9), np.ones(100))
    with pytest.raises(ValueError, match="at least 10 unseen losses"):
        umia(np.ones(100), np.ones(9))
    assert umia(np.zeros(10), np.ones(10)) == 1.0


def test_giant_losses_give_a_number_and_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    rng = np.random.default_rng(7)
    forget, unseen = losses(rng, 50) * 1e6, losses(rng, 120) * 1e6
    unseen[0] = 1e12
    assert 0.0 <= umia(forget, unseen) <= 1.0
    assert not recwarn.list


def test_discernibility_is_symmetric_about_chance() -> None:
    assert [discernibility(mia) for mia in (0.5, 0.4, 0.6, 0.0, 1.0)] == pytest.approx([0, 0.2, 0.2, 1, 1])
    assert indiscernibility(0.55) == pytest.approx(0.9)


def test_sampling_error_is_what_finite_sets_do_to_a_fixed_threshold() -> None:
    rng = np.random.default_rng(8)
    below = rng.binomial(200, 0.4, 4000) / 200, rng.binomial(500, 0.4, 4000) / 500
    accuracy = (below[0] + 1 - below[1]) / 2
    assert 2 * accuracy.std() == pytest.approx(sampling_error(200, 500), rel=0.05)
    assert sampling_error(4250, 10000) == pytest.approx(0.009, abs=0.0005)
