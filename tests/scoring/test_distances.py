import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from tests.scoring.evidence import made
from unlearn_bench.scoring.attacks.outputs import attack
from unlearn_bench.scoring.distances import output_distance, weight_distance

WEIGHTS = {"conv.weight": np.array([[3.0, 0.0], [0.0, 0.0]]), "bn.running_mean": np.array([4.0])}


def test_outputs_are_compared_as_probabilities_relative_to_the_retrained_models() -> None:
    own, retrained = np.log([[0.5, 0.5], [1.0, 1e-300]]), np.log([[0.9, 0.1], [0.6, 0.4]])
    apart = math.sqrt(2 * 0.4**2 + 2 * 0.4**2)
    assert output_distance(own, retrained) == pytest.approx(apart / math.sqrt(0.81 + 0.01 + 0.36 + 0.16))
    # A constant added to an example's logits is no difference; large logits are no infinity.
    assert output_distance(own + np.array([[7.0], [-900.0]]), retrained) == pytest.approx(
        output_distance(own, retrained)
    )


def test_opposite_certainties_are_the_largest_distance() -> None:
    assert output_distance([[900.0, 0.0]] * 3, [[0.0, 900.0]] * 3) == pytest.approx(math.sqrt(2))
    assert output_distance([[900.0, 0.0]], [[900.0, 0.0]]) == 0.0


def test_the_attack_gives_one_number_a_part() -> None:
    model = made(np.random.default_rng(0))
    found = attack(model)
    assert list(found) == ["forget", "retain", "test"]
    for part, value in found.items():
        p, q = (
            softmax(logits[model.parts[part]], axis=1)
            for logits in (model.scaled.logits, model.retrained_scaled.logits)
        )
        assert value == pytest.approx(np.sqrt(((p - q) ** 2).sum() / (q**2).sum()))
    assert attack(replace(model, logits=model.retrained)) == {"forget": 0.0, "retain": 0.0, "test": 0.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_outputs_that_are_not_finite_or_do_not_belong_together_are_refused(bad: float) -> None:
    good = np.zeros((2, 3))
    for pair in ((good + bad, good), (good, good + bad)):
        with pytest.raises(ValueError, match="not finite"):
            output_distance(*pair)
    for pair in ((good, good[:1]), (good[:0], good[:0]), (good[0], good[0])):
        with pytest.raises(ValueError, match="shapes"):
            output_distance(*pair)


def test_weights_are_one_vector_over_all_names() -> None:
    moved = {
        "conv.weight": WEIGHTS["conv.weight"] + np.array([[0.0, 1.0], [0.0, 0.0]]),
        "bn.running_mean": np.array([6.0]),
    }
    assert weight_distance(moved, WEIGHTS) == pytest.approx(math.sqrt(1 + 4) / 5)
    assert weight_distance(WEIGHTS, dict(reversed(WEIGHTS.items()))) == 0.0


def test_counters_of_batches_are_no_weights() -> None:
    counted = WEIGHTS | {"bn.num_batches_tracked": np.array(1000)}
    assert weight_distance(counted, WEIGHTS | {"bn.num_batches_tracked": np.array(3)}) == 0.0
    assert weight_distance(counted, WEIGHTS) == 0.0


def test_half_precision_weights_do_not_overflow() -> None:
    large = {"w": np.full(1000, 200.0, dtype=np.float16)}
    assert weight_distance({"w": -large["w"]}, large) == pytest.approx(2.0)


def test_weights_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two architectures: bn\.running_mean"):
        weight_distance({"conv.weight": WEIGHTS["conv.weight"]}, WEIGHTS)
    with pytest.raises(ValueError, match=r"different shapes: conv\.weight"):
        weight_distance(WEIGHTS | {"conv.weight": np.zeros(4)}, WEIGHTS)
    with pytest.raises(ValueError, match="not finite"):
        weight_distance(WEIGHTS | {"bn.running_mean": np.array([math.nan])}, WEIGHTS)
    with pytest.raises(ValueError, match="no weight but 0"):
        weight_distance({"w": np.zeros(3)}, {"w": np.zeros(3)})
