"""What U-LiRA's interval and its null band promise."""

import numpy as np
import pytest
from scipy import stats

from tests.scoring.test_ulira import drawn
from unlearn_bench.scoring.ulira import null_band, ulira


@pytest.mark.parametrize("shared", [0.0, 0.5], ids=["independent examples", "models that differ as a whole"])
def test_the_interval_covers_one_half_where_there_is_nothing_to_find(shared: float) -> None:
    covered, plain, means, halves = [], [], [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        sides = [side + shared * rng.standard_normal(8) for side in drawn(300, 8, seed, effect=False)]
        found = ulira(*sides)
        covered.append(found.low <= 0.5 <= found.high)
        means.append(found.accuracy)
        halves.append((found.high - found.low) / 2)
        resampled = rng.choice(ulira(*sides).pair_accuracies, (500, 8)).mean(axis=1)
        plain.append(np.quantile(resampled, 0.025) <= 0.5 <= np.quantile(resampled, 0.975))
    assert 0.9 <= np.mean(covered) <= 0.98
    assert np.mean(halves) == pytest.approx(stats.t(7).ppf(0.975) * np.std(means), rel=0.3)
    assert np.mean(plain) < 0.85


def test_the_interval_of_a_run_that_stops_once_it_is_narrow_covers_as_one_that_does_not() -> None:
    rng, means, ends = np.random.default_rng(7), np.zeros(9), []
    fixed = rng.normal(3, 2.5, (200, 1)), rng.gamma(4, 0.4, (200, 1)), 0.5 * np.abs(rng.normal(0, 0.8, (200, 1)))

    def side(raised: np.ndarray | float) -> np.ndarray:
        return np.asarray(fixed[0] + fixed[1] * (rng.normal(size=(200, 8)) + 0.1 * rng.normal(size=8) + raised))

    for _ in range(300):
        forgotten, never = side(fixed[2]), side(0.0)
        looks = [ulira(forgotten[:, :pairs], never[:, :pairs], stopped=True) for pairs in range(4, 8)]
        means[4:8] += [look.accuracy / 300 for look in looks]
        pairs, stop = next(((n, look) for n, look in enumerate(looks, 4) if look.high - look.low <= 0.1), (8, None))
        if stop is not None:
            ends.append((pairs, stop))
    widened = [stop.low <= means[pairs] <= stop.high for pairs, stop in ends]
    plain = [abs(stop.accuracy - means[pairs]) <= (stop.high - stop.low) / 2.8 for pairs, stop in ends]
    assert len(ends) > 200 and np.mean(widened) >= 0.93 > 0.89 >= np.mean(plain)


@pytest.mark.parametrize("pairs", [4, 8, 16, 32])
def test_another_perfect_unlearner_falls_into_the_null_band(pairs: int) -> None:
    rng = np.random.default_rng(5)
    mean, spread = rng.normal(3, 2.5, (200, 1)), rng.gamma(4, 0.4, (200, 1))

    def perfect() -> tuple[float, ...]:
        sides = (mean + spread * (rng.normal(size=(200, pairs)) + 0.1 * rng.normal(size=pairs)) for _ in range(2))
        return ulira(*sides).pair_accuracies

    drawn = [perfect() for _ in range(200 if pairs < 16 else 80)]
    bands, means = np.array([null_band(each) for each in drawn]), np.array([np.mean(each) for each in drawn])
    inside = (bands[:, :1] <= means) & (means <= bands[:, 1:])
    assert 0.92 <= inside.mean() <= 0.99
    assert bands.sum(axis=1) == pytest.approx(1)
