"""Kendall's τ of two orders of the same methods."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from unlearn_bench.scoring.agreement import agreement


def test_the_same_and_the_reverse_order_are_certain() -> None:
    order = np.arange(8.0)
    same, reverse = agreement(order, order * 3), agreement(order, -order)
    assert same is not None and (same.tau, same.low, same.high, same.methods) == (1, 1, 1, 8)
    assert reverse is not None and (reverse.tau, reverse.low, reverse.high) == (-1, -1, -1)


def test_ties_count_as_in_tau_b_and_failed_methods_tie() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, 18).astype(float), rng.integers(0, 9, 18).astype(float)
    first[:2] = second[1:3] = np.inf
    found = agreement(first, second)
    finite = [np.where(np.isinf(values), 99.0, values) for values in (first, second)]
    assert found is not None and found.tau == pytest.approx(kendalltau(*finite).statistic)
    assert found.low < found.tau < found.high


def test_the_interval_of_unrelated_orders_holds_0_in_most_cases() -> None:
    rng = np.random.default_rng(1)
    found = [agreement(*rng.normal(size=(2, 18)), resamples=400) for _ in range(60)]
    assert sum(each is not None and each.low <= 0 <= each.high for each in found) >= 52


def test_nothing_is_said_of_three_methods_or_where_all_tie() -> None:
    assert agreement([1, 2, 3], [1, 2, 3]) is None
    assert agreement([1, 2, 3, 4, 5], [7, 7, 7, 7, 7]) is None


@pytest.mark.parametrize("theirs", [[1.0, 2.0], [1.0, 2.0, 3.0, np.nan]])
def test_other_methods_and_missing_numbers_are_errors(theirs: list[float]) -> None:
    with pytest.raises(ValueError, match="of the same methods"):
        agreement([1.0, 2.0, 3.0, 4.0], theirs)
