import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from tests.scoring.evidence import made, two_class
from unlearn_bench.scoring.attacks.rmia import attack, auc, log_ratios, scores, tpr
from unlearn_bench.scoring.evidence import ModelEvidence

GRID = st.lists(st.integers(0, 6), min_size=1, max_size=30)


def literal(model: ModelEvidence, a: float, gamma: float) -> dict[str, list[float]]:
    """The paper's definition, one pair of examples at a time."""

    def ratio(x: int) -> float:
        outs = [
            1 / (1 + math.exp(-phi[x])) for phi, lack in zip(model.reference_phi, model.lacks, strict=True) if lack[x]
        ]
        p_out = sum(outs) / len(outs)
        return float(1 / (1 + math.exp(-model.phi[x])) / (0.5 * ((1 + a) * p_out + 1 - a)))

    population = [ratio(z) for z in model.parts["val"]]
    return {
        part: [sum(ratio(x) / z >= gamma for z in population) / len(population) for x in model.parts[part]]
        for part in ("forget", "test")
    }


@pytest.mark.parametrize("a", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_scores_are_those_of_the_definition(a: float, gamma: float) -> None:
    model = made(np.random.default_rng(0))
    population = log_ratios(model, model.parts["val"], a)
    for part, expected in literal(model, a, gamma).items():
        found = scores(log_ratios(model, model.parts[part], a), population, gamma)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_attack_reads_forget_against_test_examples() -> None:
    model = made(np.random.default_rng(1))
    forget, test = literal(model, 0.3, 2.0).values()
    truth = np.repeat([1, 0], [len(forget), len(test)])
    assert attack(model)["auc"] == pytest.approx(roc_auc_score(truth, forget + test))


def test_a_ratio_of_exactly_gamma_counts() -> None:
    assert scores([0.0, 1.0], [0.0, 1.0, 2.0], gamma=1.0) == pytest.approx([1 / 3, 2 / 3])


def test_examples_that_are_easy_for_everyone_give_little_away_and_nothing_with_p_out_alone() -> None:
    # Forget examples are easier than test examples for all models alike: U-MIA would be fooled.
    rng = np.random.default_rng(2)
    model = made(rng, sizes=(10, 200, 200, 200), models=8)
    level = np.zeros(610)
    level[model.parts["forget"]] = 3.0
    easier = replace(
        model, logits=two_class(level + rng.normal(size=610)), reference_phi=level + rng.normal(size=(8, 610))
    )
    parts = model.parts
    assert auc(easier.phi[parts["forget"]], easier.phi[parts["test"]]) > 0.97
    assert attack(easier)["auc"] < 0.75
    ratios = {part: log_ratios(easier, rows, a=1.0) for part, rows in parts.items() if part != "retain"}
    assert auc(*(scores(ratios[part], ratios["val"]) for part in ("forget", "test"))) == pytest.approx(0.5, abs=0.08)


def test_only_references_that_lack_an_example_count() -> None:
    model = made(np.random.default_rng(3))
    elsewhere = np.where(model.lacks, model.reference_phi, 1e6)
    assert attack(replace(model, reference_phi=elsewhere)) == attack(model)


def test_extreme_margins_stay_finite() -> None:
    model = made(np.random.default_rng(4))
    rows = model.parts["forget"]
    for own, reference in ((800.0, -800.0), (-800.0, 800.0), (-800.0, -800.0)):
        extreme = replace(model, reference_phi=np.full_like(model.reference_phi, reference))
        vars(extreme)["phi"] = np.full(model.labels.size, own)
        assert np.isfinite(log_ratios(extreme, rows, a=1.0)).all()
    assert log_ratios(extreme, rows, a=1.0) == pytest.approx(0.0)


def test_a_constant_model_reads_one_half() -> None:
    model = made(np.random.default_rng(5))
    flat = replace(model, logits=np.zeros_like(model.logits), reference_phi=np.zeros_like(model.reference_phi))
    assert attack(flat) == {"auc": 0.5, "tpr_1": 0.0}


def test_an_example_in_every_retain_set_is_an_error_unless_it_is_retained() -> None:
    model = made(np.random.default_rng(6))
    lacks = model.lacks.copy()
    lacks[:, model.parts["retain"]] = False
    assert attack(replace(model, lacks=lacks)) == attack(model)
    lacks[:, model.parts["test"][:3]] = False
    with pytest.raises(ValueError, match="no reference model lacks 3 of 180 examples"):
        attack(replace(model, lacks=lacks))


def test_references_that_are_not_finite_or_do_not_fit_are_refused() -> None:
    model = made(np.random.default_rng(7))
    broken = model.reference_phi.copy()
    broken[:, model.parts["val"][0]] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        attack(replace(model, reference_phi=broken))
    with pytest.raises(ValueError, match="belong together"):
        attack(replace(model, lacks=model.lacks[1:]))
    with pytest.raises(ValueError, match="population"):
        scores([1.0], [])
    with pytest.raises(ValueError, match="outside"):
        log_ratios(model, model.parts["val"], a=1.5)


@given(GRID, GRID)
def test_auc_counts_ties_half_and_turns_over_with_the_sides(above: list[int], below: list[int]) -> None:
    truth = np.repeat([1, 0], [len(above), len(below)])
    assert auc(above, below) == pytest.approx(roc_auc_score(truth, above + below))
    assert auc(below, above) == pytest.approx(1 - auc(above, below))


@given(GRID, GRID, st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_tpr_is_the_best_one_within_the_false_positive_rate(above: list[int], below: list[int], rate: float) -> None:
    false, true, _ = roc_curve(np.repeat([1, 0], [len(above), len(below)]), above + below, drop_intermediate=False)
    assert tpr(above, below, rate) == pytest.approx(true[false <= rate].max())


def test_a_curve_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="both sides"):
        auc([], [1.0])
    assert tpr([2.0], [1.0]) == 1.0
