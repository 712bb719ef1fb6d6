import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scoring.evidence import shadows
from unlearn_bench.scoring.attacks.klom import attack, floored, histograms, smoothed


def literal(unlearned: np.ndarray, retrained: np.ndarray) -> tuple[float, float]:
    """One example by loops: smoothed, and as published."""
    ends = min(unlearned.min(), retrained.min()), max(unlearned.max(), retrained.max())
    p, q = (np.histogram(side, bins=20, range=ends)[0] for side in (unlearned, retrained))
    laplace = sum(
        (a + 1) / (len(unlearned) + 20) * math.log((a + 1) / (len(unlearned) + 20) * (len(retrained) + 20) / (b + 1))
        for a, b in zip(p, q, strict=True)
    )
    base = [max(b / len(retrained), 1e-5) if a else b / len(retrained) for a, b in zip(p, q, strict=True)]
    published = sum(
        a / len(unlearned) * math.log(a / len(unlearned) / (b / sum(base))) for a, b in zip(p, base, strict=True) if a
    )
    return laplace, published


@pytest.mark.parametrize(("first", "second"), [(8, 8), (64, 64), (5, 40)])
def test_values_are_those_of_the_definition(first: int, second: int) -> None:
    rng = np.random.default_rng(0)
    unlearned, retrained = rng.normal(0.5, 1.5, (50, first)), rng.normal(size=(50, second))
    expected = np.array([literal(*pair) for pair in zip(unlearned, retrained, strict=True)])
    counts = histograms(unlearned, retrained)
    np.testing.assert_allclose(smoothed(*counts), expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(floored(*counts), expected[:, 1], atol=1e-12)


def test_the_attack_compares_forgotten_with_retrained_in_this_direction() -> None:
    given = shadows(np.random.default_rng(1), n=200, models=32, shift=1.0)
    given = replace(given, forgotten=0.2 * given.forgotten)
    values = np.array([literal(*pair) for pair in zip(given.forgotten, given.retrained, strict=True)])
    assert attack(given) == pytest.approx(
        {
            "mean": values[:, 0].mean(),
            "p95": np.quantile(values[:, 0], 0.95),
            "max": values[:, 0].max(),
            "mean_floored": values[:, 1].mean(),
        }
    )


@pytest.mark.parametrize("models", [8, 32])
def test_any_difference_reads_above_the_null(models: int) -> None:
    perfect = shadows(np.random.default_rng(2), n=5000, models=models)
    zero = attack(perfect.null())["mean"]
    assert attack(perfect)["mean"] == pytest.approx(zero, abs=0.003)
    for changed in (perfect.forgotten + 0.7, 0.5 * perfect.forgotten, 2.0 * perfect.forgotten):
        assert attack(replace(perfect, forgotten=changed))["mean"] > zero + 0.005


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_order_unit_and_origin_do_not_matter(seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    # Halves of bins, so that no value lies near an edge.
    sides = rng.integers(0, 20, (2, 3, 12)) + 0.5
    sides[:, :, 0], sides[:, :, 1] = 0.0, 20.0
    expected = smoothed(*histograms(*sides))
    mixed = rng.permuted(scale * sides + shift, axis=2)
    assert smoothed(*histograms(*mixed)) == pytest.approx(expected, abs=1e-12)
    assert (expected >= 0).all()


def test_equal_counts_are_at_no_distance() -> None:
    values = np.random.default_rng(3).normal(size=(5, 9))
    assert smoothed(*histograms(values, values[:, ::-1])) == pytest.approx(0.0)


def test_constant_examples_are_at_no_distance_and_apart_at_a_finite_one() -> None:
    same = np.full((2, 8), 3.0)
    assert smoothed(*histograms(same, same)) == pytest.approx([0.0, 0.0])
    apart = histograms(same, same + 1.0)
    assert smoothed(*apart) == pytest.approx(8 / 28 * math.log(9))
    assert floored(*apart) == pytest.approx(math.log(1 + 1e5))


def test_all_values_are_counted_also_in_later_blocks() -> None:
    values = np.random.default_rng(4).normal(size=(2, 3000, 7)).astype(np.float32)
    for counts in histograms(*values):
        assert counts.shape == (3000, 20)
        assert (counts.sum(axis=1) == 7).all()


def test_values_that_are_not_finite_or_do_not_belong_together_are_refused() -> None:
    good = np.zeros((3, 4))
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="1 values"):
            histograms(good, np.where(np.arange(12).reshape(3, 4) == 5, bad, good))
    for other in (np.zeros((2, 4)), np.zeros((3, 0)), np.zeros(3)):
        with pytest.raises(ValueError, match="expected"):
            histograms(good, other)
