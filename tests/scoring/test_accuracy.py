import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unlearn_bench.scoring.accuracy import Accuracies, accuracies, cross_entropy, margins

SPLIT = {"retain": [0, 1, 2, 3], "forget": [4, 5], "val": [6], "test": [7]}
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])


def one_hot(answers: list[int]) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[answers]


def test_each_split_counts_its_own_examples() -> None:
    found = accuracies(one_hot([0, 1, 2, 1, 1, 1, 0, 0]), LABELS, SPLIT)
    assert found == Accuracies(retain=0.75, forget=0.5, val=1.0, test=0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_single_non_finite_logit_is_an_error_not_class_0(bad: float) -> None:
    logits = one_hot([0] * 8)
    logits[5, 2] = bad
    with pytest.raises(ValueError, match="1 examples have non-finite logits"):
        accuracies(logits, LABELS, SPLIT)
    with pytest.raises(ValueError, match="non-finite"):
        cross_entropy(logits, LABELS)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_classes_are_refused(label: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        cross_entropy(one_hot([0]), np.array([label]))


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        accuracies(one_hot([0, 1]), LABELS, SPLIT)


def test_an_empty_or_absent_split_is_named() -> None:
    with pytest.raises(ValueError, match="forget, test"):
        accuracies(one_hot([0] * 8), LABELS, {"retain": [0], "val": [1], "forget": []})


def test_an_accuracy_outside_0_to_1_is_refused() -> None:
    for wrong in (1.2, -0.1, math.nan):
        with pytest.raises(ValueError, match="val accuracy"):
            Accuracies(0.5, 0.5, wrong, 0.5)


def test_losses_match_the_definition_and_survive_extremes() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [5000.0, 0.0, 0.0], [40.0, 0.0, -1000.0]])
    found = cross_entropy(logits, np.array([0, 1, 1, 0]))
    expected = [math.log(1 + math.e + math.e**2), math.log(3), 5000.0, math.log1p(math.exp(-40))]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == np.float64


def test_float16_logits_are_scored_in_float64() -> None:
    logits = np.array([[11.0, -11.0]], dtype=np.float16)
    np.testing.assert_allclose(cross_entropy(logits, [0]), math.log1p(math.exp(-22)), rtol=1e-12)
    np.testing.assert_allclose(margins(logits, [0]), 22.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("gap", [0.5, 17.0, 89.0, 750.0, 1e4, -0.5, -89.0, -1e4])
def test_margins_are_exact_where_probabilities_are_0_or_1(gap: float, dtype: type) -> None:
    # Two classes: φ is the gap itself. k equal others: less log k. Others too far below the best count for nothing.
    np.testing.assert_array_equal(margins(np.array([[gap, 0.0]], dtype), [0]), [gap])
    np.testing.assert_array_equal(margins(np.array([[0.0, gap]], dtype), [0]), [-gap])
    nine = np.array([[gap, *[0.0] * 9]], dtype)
    np.testing.assert_allclose(margins(nine, [0]), [gap - math.log(9)], rtol=1e-15, atol=1e-15)
    np.testing.assert_array_equal(margins(np.array([[gap, 0.0, -1e4, -5e3]], dtype), [0]), [gap])


@given(
    arrays(np.float64, (5, 4), elements=st.floats(-30, 30)),
    arrays(np.int64, 5, elements=st.integers(0, 3)),
    st.floats(-100, 100),
)
def test_losses_equal_the_log_softmax_and_ignore_a_shift(logits: np.ndarray, labels: np.ndarray, shift: float) -> None:
    naive = -np.log(np.exp(logits[range(5), labels]) / np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(cross_entropy(logits, labels), naive, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        cross_entropy(logits + shift, labels), cross_entropy(logits, labels), rtol=1e-6, atol=1e-9
    )
