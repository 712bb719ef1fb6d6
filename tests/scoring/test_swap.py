from dataclasses import replace

import numpy as np
import pytest

from tests.scoring.evidence import two_class
from unlearn_bench.scoring.attacks.swap import attack, signed_advantage
from unlearn_bench.scoring.evidence import SwapEvidence
from unlearn_bench.scoring.umia import umia


def swap(
    rng: np.random.Generator, n: int = 100, trace: float = 0.0, apart: float = 0.0, noise: float = 1.0
) -> SwapEvidence:
    """Two models whose margins of what they forgot are raised by ``trace``; F is easier than T′ by ``apart``."""
    order = rng.permutation(2 * n)
    forget, substitute = order[:n], order[n:]
    difficulty = rng.normal(0.0, 2.0, 2 * n)
    difficulty[forget] += apart
    first, second = (difficulty + noise * rng.normal(size=2 * n) for _ in range(2))
    first[forget] += trace
    second[substitute] += trace
    return SwapEvidence(
        logits=two_class(first),
        swapped=two_class(second),
        labels=np.zeros(2 * n, dtype=int),
        forget=forget,
        substitute=substitute,
        val=np.arange(2 * n),
    )


@pytest.mark.parametrize("apart", [0.0, 4.0, -4.0])
def test_two_equal_models_give_exactly_zero_however_different_the_sides(apart: float) -> None:
    given = swap(np.random.default_rng(0), apart=apart, noise=0.0)
    assert attack(given) == {"advantage": 0.0, "quality": 1.0}


def test_sides_that_differ_by_themselves_do_not_count_where_u_mia_is_fooled() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(8):
        given = swap(rng, apart=4.0)
        losses = np.logaddexp(0, given.logits[:, 1] - given.logits[:, 0])
        found.append((attack(given)["advantage"], umia(losses[given.forget], losses[given.substitute])))
    advantage, accuracy = np.mean(found, axis=0)
    assert advantage < 0.08
    assert accuracy > 0.75


@pytest.mark.parametrize("trace", [3.0, -3.0])
def test_a_trace_of_what_was_forgotten_is_caught_in_either_direction(trace: float) -> None:
    rng = np.random.default_rng(2)
    found = [attack(swap(rng, trace=trace))["advantage"] for _ in range(5)]
    # Of normal margins with variance 5 that are 3 apart: 2·Φ(1.5/√5) − 1.
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_perfect_retraining_reads_zero_on_average() -> None:
    rng = np.random.default_rng(3)
    signed = [signed_advantage(rng.normal(size=(2, 2, 100))) for _ in range(40)]
    assert np.mean(signed) == pytest.approx(0.0, abs=0.03)
    assert np.std(signed) < 0.1


def test_exchanging_the_models_with_their_sides_changes_nothing() -> None:
    given = swap(np.random.default_rng(4), trace=1.0, apart=1.0)
    exchanged = replace(
        given, logits=given.swapped, swapped=given.logits, forget=given.substitute, substitute=given.forget
    )
    assert attack(exchanged) == pytest.approx(attack(given))


def test_exchanging_only_the_sides_asks_the_opposite_question() -> None:
    # Each model's own side is now the one it retained nothing of: as telling, with the other sign.
    given = swap(np.random.default_rng(5), trace=2.0)
    opposite = replace(given, forget=given.substitute, substitute=given.forget)
    assert attack(opposite)["advantage"] == pytest.approx(attack(given)["advantage"], abs=0.03)


def test_the_order_of_the_examples_does_not_matter() -> None:
    rng = np.random.default_rng(6)
    given = swap(rng, trace=1.0)
    mixed = replace(given, forget=rng.permutation(given.forget), substitute=rng.permutation(given.substitute))
    assert attack(mixed) == attack(given)


def test_constant_logits_give_nothing_away() -> None:
    given = swap(np.random.default_rng(7))
    flat = replace(given, logits=np.zeros_like(given.logits), swapped=np.zeros_like(given.swapped))
    assert attack(flat)["advantage"] == 0.0


def test_sides_must_be_equal_large_enough_and_apart() -> None:
    given = swap(np.random.default_rng(8))
    with pytest.raises(ValueError, match="equal size, at least 10, got 99 and 100"):
        attack(replace(given, forget=given.forget[1:]))
    with pytest.raises(ValueError, match="got 9 and 9"):
        attack(replace(given, forget=given.forget[:9], substitute=given.substitute[:9]))
    with pytest.raises(ValueError, match="in common"):
        attack(replace(given, substitute=np.append(given.substitute[1:], given.forget[0])))


def test_logits_that_are_not_finite_are_refused() -> None:
    given = swap(np.random.default_rng(9))
    logits = given.swapped.copy()
    logits[3, 0] = np.nan
    with pytest.raises(ValueError, match="non-finite"):
        attack(replace(given, swapped=logits))
