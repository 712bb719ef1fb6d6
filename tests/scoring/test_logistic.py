"""The attacks' own classifiers against scikit-learn's, which need a millisecond a fit."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from unlearn_bench.scoring import logistic
from unlearn_bench.scoring.attacks import umia_two_sided
from unlearn_bench.scoring.cross_validation import folds


def labelled(sides: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return sides.ravel(), np.repeat([1.0, 0.0], sides.shape[1])


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0, 100.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0])
def test_the_coefficients_are_those_of_a_general_optimiser_run_to_the_end(shift: float, scale: float) -> None:
    rng = np.random.default_rng(0)
    for size in (9, 115, 400):
        x, y = labelled(scale * (rng.normal(size=(2, size)) + np.array([[shift], [0.0]])))
        found = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x[:, None], y)
        slope, intercept = logistic.coefficients(x, y, np.ones((1, x.size), dtype=bool))
        assert slope == pytest.approx(found.coef_[0, 0], rel=1e-4, abs=1e-7)
        assert intercept == pytest.approx(found.intercept_[0], rel=1e-4, abs=1e-5)


def test_problems_that_are_solved_together_do_not_know_of_one_another() -> None:
    rng = np.random.default_rng(2)
    x, y = labelled(rng.normal(size=(2, 60)) + np.array([[1.0], [0.0]]))
    x[0] = 1e8  # a problem with this outlier needs many more steps than the others
    counted = rng.random((12, x.size)) < 0.8
    counted[:6, 0], counted[6:, 0] = True, False
    together = np.array(logistic.coefficients(x, y, counted))
    for problem, some in enumerate(counted):
        alone = np.array(logistic.coefficients(x[some], y[some], np.ones((1, some.sum()), dtype=bool)))
        assert together[:, problem] == pytest.approx(alone[:, 0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("outlier", [1e3, 1e8, 1e15])
def test_it_is_the_optimum_also_where_a_general_optimiser_gives_up(outlier: float) -> None:
    rng = np.random.default_rng(1)
    sides = rng.normal(size=(2, 60)) * np.array([[1.0], [3.0]])
    sides[1, 0] = outlier
    x, y = labelled(sides)
    slope, intercept = logistic.coefficients(x, y, np.ones((1, x.size), dtype=bool))
    called = 1 / (1 + np.exp(-np.clip(slope * x + intercept, -700, 700)))
    assert (called - y).sum() == pytest.approx(0.0, abs=1e-6)
    assert np.sum((called - y) * (x / outlier)) + slope / outlier == pytest.approx(0.0, abs=1e-6)


def test_no_information_calls_nothing_forgotten() -> None:
    assert not logistic.fits(np.zeros((2, 50)), folds(50)).any()


@pytest.mark.parametrize("depth", [1, umia_two_sided.DEPTH, 4])
def test_the_trees_are_scikit_learns(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(umia_two_sided, "DEPTH", depth)
    rng = np.random.default_rng(0)
    for case in range(60):
        sides = np.stack([rng.normal(0, rng.uniform(0.1, 3), 60 + case), rng.normal(size=60 + case)])
        if case % 3 == 0:
            sides = np.round(2 * sides)  # many ties
        ranks = np.unique(sides, return_inverse=True)[1].reshape(sides.shape).astype(np.float64)
        held_out = rng.random((5, 60 + case)) < 0.3
        held_out[0] = ranks[0] > np.median(ranks)  # nothing to learn from on one side
        for found, left_out in zip(umia_two_sided.trees(ranks, held_out), held_out, strict=True):
            x, y = labelled(ranks[:, ~left_out])
            library = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=0.05, random_state=0).fit(x[:, None], y)
            np.testing.assert_array_equal(found.ravel(), library.predict(ranks.reshape(-1, 1)) == 1, str(case))
