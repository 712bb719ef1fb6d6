"""Two independent sets of seeds: Welch's interval, on either scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from unlearn_bench.scoring.unpaired import unpaired_difference


def test_the_interval_is_welchs_and_excludes_equality_exactly_when_the_test_says_so() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.1, 0.2, 0.5):
        public, fresh = rng.normal(0.3, 0.05, 10), rng.normal(0.3 + shift, 0.1, 5)
        found = unpaired_difference("retdev", public.tolist(), fresh.tolist(), lower_is_better=True, level=0.95)
        p = stats.ttest_ind(public, fresh, equal_var=False, alternative="less").pvalue
        assert found.better == (p < 0.025)
        assert found.low < found.mean < found.high
        assert found.mean == pytest.approx(public.mean() - fresh.mean())


def test_honest_seeds_err_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(1)
    wrong = sum(
        unpaired_difference("x", rng.normal(size=10), rng.normal(size=5), level=0.9).better for _ in range(2000)
    )
    assert 0.03 < wrong / 2000 < 0.07


def test_ratios_are_compared_on_their_own_scale() -> None:
    found = unpaired_difference("rte", [2.0, 4.0, 8.0], [1.0, 2.0, 4.0], ratio=True)
    assert found.mean == pytest.approx(2) and found.low < 1 < found.high and not found.better
    assert found.public.mean == pytest.approx(4)
    fast = unpaired_difference("rte", [10.0, 10.1], [1.0, 1.01], ratio=True)
    assert fast.better and not unpaired_difference("rte", [1.0, 1.01], [10.0, 10.1], ratio=True).better


def test_values_without_spread_and_too_few_of_them() -> None:
    assert unpaired_difference("x", [1.0, 1.0], [0.0, 0.0]).better
    assert not unpaired_difference("x", [1.0, 1.0], [1.0, 1.0]).better
    with pytest.raises(ValueError, match="at least two"):
        unpaired_difference("x", [1.0, 2.0], [1.0])
