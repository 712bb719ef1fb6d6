"""The gate's verdict and paired differences."""

import numpy as np
import pytest

from unlearn_bench.scoring.gate import gate
from unlearn_bench.scoring.paired import paired_difference


def values(rmia: list[float], two_sided: list[float]) -> dict[str, list[float]]:
    return {"rmia": rmia, "umia_two_sided": two_sided}


def test_the_gate_catches_what_differs_from_the_null_on_either_side() -> None:
    zero = values([0.50, 0.52, 0.49, 0.51], [0.50, 0.50, 0.51, 0.49])
    seen = values([0.60, 0.63, 0.58, 0.61], [0.50, 0.51, 0.50, 0.49])
    less_seen = values([0.50, 0.51, 0.50, 0.51], [0.40, 0.41, 0.40, 0.38])
    assert [reading.caught for reading in gate(seen, zero)] == [True, False]
    assert [reading.caught for reading in gate(less_seen, zero)] == [False, True]
    assert [reading.caught for reading in gate(zero, zero)] == [False, False]
    rmia = gate(seen, zero)[0]
    assert (rmia.value, rmia.null) == (pytest.approx(0.605), pytest.approx(0.505))
    assert rmia.difference.mean == pytest.approx(0.1)


def test_one_seed_catches_nobody_and_other_seeds_are_refused() -> None:
    assert not any(reading.caught for reading in gate(values([0.9], [0.9]), values([0.5], [0.5])))
    with pytest.raises(ValueError, match="2 seeds of the entry, 1 of the null"):
        gate(values([0.9, 0.9], [0.9, 0.9]), values([0.5], [0.5]))


def test_pairing_cancels_what_both_share() -> None:
    hard = np.array([0.0, 0.3, 0.1, 0.5])
    a, b = (dict(enumerate(hard + own)) for own in (0.11, 0.10))
    found = paired_difference("retdev", a, b)
    assert found.change.mean == pytest.approx(0.01) and found.clear
    assert not paired_difference("retdev", a, dict(enumerate(hard[::-1]))).clear
    assert not paired_difference("retdev", {0: 1.0}, {0: 2.0}).clear, "one seed has no interval"


def test_speed_is_compared_by_ratio_over_common_seeds() -> None:
    found = paired_difference("rte", {0: 2.0, 1: 8.0, 2: 99.0}, {0: 1.0, 1: 4.0}, ratio=True)
    assert (found.a, found.b, found.change.mean, found.change.n) == pytest.approx((4.0, 2.0, 2.0, 2))
    assert found.clear
    with pytest.raises(ValueError, match="no seed in common"):
        paired_difference("rte", {0: 1.0}, {1: 1.0})
