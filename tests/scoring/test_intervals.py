import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unlearn_bench.scoring.intervals import Interval, geometric_interval, mean_interval

PUBLISHED = Path(__file__).parents[2] / "harness" / "results" / "paper"


def test_t_interval_of_three_values() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    half = 4.302652729749464 / math.sqrt(3)  # t quantile .975 with 2 degrees of freedom, from a table
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((2.0, 2 - half, 2 + half, 3))
    assert found.half_width == pytest.approx(half)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    samples = np.random.default_rng(0).normal(3.0, 2.0, size=(4000, 5))
    found = [mean_interval(sample, level=0.8) for sample in samples]
    assert np.mean([one.low <= 3.0 <= one.high for one in found]) == pytest.approx(0.8, abs=0.02)


def test_one_value_has_limits_without_nan() -> None:
    assert mean_interval([0.3]) == Interval(0.3, 0.3, 0.3, 1)
    ratio = geometric_interval([7.0])
    assert (ratio.mean, ratio.low, ratio.high, ratio.n) == pytest.approx((7.0, 7.0, 7.0, 1))


def test_ratios_are_averaged_on_a_log_scale() -> None:
    found = geometric_interval([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(2.0)
    assert found.low * found.high == pytest.approx(4.0)
    inverse = geometric_interval([1.0, 0.5, 0.25])
    assert (inverse.low, inverse.high) == pytest.approx((1 / found.high, 1 / found.low))


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_nothing_and_non_finite_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        mean_interval(values)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan])
def test_ratios_must_be_positive(ratio: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        geometric_interval([1.0, ratio])


def test_a_percentage_is_no_level() -> None:
    with pytest.raises(ValueError, match="level"):
        mean_interval([1.0, 2.0], level=95)


def test_means_of_table_2_recompute() -> None:
    table = pd.read_csv(PUBLISHED / "table2.csv", index_col="method")
    assert len(table) == 6
    for name, row in table.iterrows():
        assert mean_interval(row.drop("average")).mean == pytest.approx(row["average"], abs=0.0051), name
