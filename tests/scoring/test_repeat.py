"""How far two runs of one method may lie apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unlearn_bench.scoring.reproducibility import reproducibility_limit


def test_two_results_of_one_method_exceed_the_limit_as_often_as_the_level_says() -> None:
    rng, n = np.random.default_rng(3), 10
    exceeded = []
    for _ in range(4000):
        values, pair = rng.normal(5, 0.3, n), rng.normal(5, 0.3, 2)
        exceeded.append(abs(pair[0] - pair[1]) > reproducibility_limit(values, 0.9))
    assert np.mean(exceeded) == pytest.approx(0.1, abs=0.02)


def test_known_values() -> None:
    # 1.96 · √2 = 2.77 times the standard deviation, where it is known (ISO 5725-6)
    many = np.random.default_rng(0).normal(0, 2, 200_000)
    assert reproducibility_limit(many) == pytest.approx(2.77 * 2, rel=0.01)
    assert reproducibility_limit([1.0, 1.0, 1.0]) == 0.0
    assert reproducibility_limit([1.0, 1.0, 1.0], least=0.25) == 0.25
    assert math.isnan(reproducibility_limit([1.0, 2.0]))
    with pytest.raises(ValueError, match="level"):
        reproducibility_limit([1.0, 2.0, 3.0], 1.0)
