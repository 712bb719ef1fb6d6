"""Memorisation estimates from models with and without each example."""

from __future__ import annotations

import numpy as np
import pytest

from unlearn_bench.scoring.memorisation import memorisation


def test_each_example_is_compared_with_the_models_that_lack_it() -> None:
    trained = np.array([[1, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 0]], dtype=bool)
    probabilities = np.array([[0.9, 0.5, 0.2], [0.1, 0.5, 0.4], [0.3, 0.5, 0.8], [0.7, 0.5, 0.8]])
    assert memorisation(probabilities, trained) == pytest.approx([0.6, 0.0, -0.5])


def test_unequal_numbers_of_models_on_both_sides() -> None:
    trained = np.array([[True], [False], [False], [False]])
    assert memorisation(np.array([[1.0], [0.0], [0.3], [0.6]]), trained) == pytest.approx([0.7])


@pytest.mark.parametrize(
    ("probabilities", "trained", "words"),
    [
        ([[0.5, 0.5]], [[True, False]], "one that was not"),
        ([[0.5], [1.5]], [[True], [False]], r"\[0, 1\]"),
        ([[0.5], [np.nan]], [[True], [False]], r"\[0, 1\]"),
        ([[0.5]], [[True], [False]], "equal shapes"),
    ],
)
def test_what_cannot_be_estimated_is_refused(
    probabilities: list[list[float]], trained: list[list[bool]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        memorisation(probabilities, trained)
