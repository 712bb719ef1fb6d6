"""What single probes compute, against literal implementations and cases that one can work out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from unlearn_bench.harness.probes import outputs, panel
from unlearn_bench.harness.probes.catalogue.cka import linear_cka
from unlearn_bench.harness.probes.catalogue.connectivity import barrier
from unlearn_bench.harness.probes.catalogue.nearest_neighbours import votes
from unlearn_bench.harness.probes.catalogue.quantisation import quantised
from unlearn_bench.harness.probes.catalogue.residual_knowledge import log_ratios
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.fitted import fitting_set, logistic_regression


@pytest.fixture
def features() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(50, 8), torch.randn(50, 6)


def test_cka_of_a_rotated_scaled_and_shifted_copy_is_1(features: tuple[Tensor, Tensor]) -> None:
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    assert linear_cka(features[0], 3 * features[0] @ rotation + 5) == pytest.approx(1, abs=1e-6)
    assert linear_cka(features[0], features[0] * torch.arange(8)) < 0.9


def test_cka_is_that_of_the_gram_matrices(features: tuple[Tensor, Tensor]) -> None:
    n = len(features[0])
    centre = np.eye(n) - 1 / n
    k, m = (centre @ (x.double() @ x.double().T).numpy() @ centre for x in features)
    assert linear_cka(*features) == pytest.approx(np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m)))


def test_cka_with_constant_features_is_0(features: tuple[Tensor, Tensor]) -> None:
    assert linear_cka(features[0], torch.ones(50, 3)) == 0


def test_a_barrier_is_the_height_above_the_line_between_both_ends() -> None:
    assert barrier(np.array([1.0, 4.0, 2.0])) == pytest.approx(2.5)
    assert barrier(np.array([1.0, 1.2, 2.0])) == 0


def test_there_is_no_barrier_between_a_model_and_itself(tiny: ProbeContext) -> None:
    found = panel.load("connectivity").measure(tiny).numbers
    assert found["barrier_original"] == 0 and found["distance_original"] == 0
    assert found["distance_retrained"] > 0


def test_32_bits_change_nothing_and_2_leave_three_values_per_channel(tiny: ProbeContext) -> None:
    before = tiny.original.state_dict()
    full, coarse = (quantised(tiny.copy(tiny.original), bits).state_dict() for bits in (32, 2))
    assert all(torch.equal(full[name], tensor) for name, tensor in before.items())
    assert all(len(channel.unique()) <= 3 for channel in coarse["layer4.0.conv2.weight"])


def test_8_bits_are_integers_times_a_scale_of_the_channel() -> None:
    layer = torch.nn.Linear(3, 2)
    layer.weight.data = torch.tensor([[127.0, 1.4, -0.6], [1.27, 0.004, 0.006]])
    expected = torch.tensor([[127.0, 1.0, -1.0], [1.27, 0.0, 0.01]])
    assert torch.allclose(quantised(layer, 8).weight, expected)


def test_16_bits_are_half_precision(tiny: ProbeContext) -> None:
    half = quantised(tiny.copy(tiny.original), 16).state_dict()
    assert all(torch.equal(half[name], t.half().to(t.dtype)) for name, t in tiny.original.state_dict().items())


def test_the_nearest_by_angle_vote() -> None:
    known = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    queries = torch.tensor([[5.0, 0.1], [0.0, 1.0]])
    shares = votes(queries, known, torch.tensor([0, 1, 2]), 3, 2)
    assert shares.argmax(1).tolist()[0] == 0
    assert shares[1].tolist() == pytest.approx([0, 0.5, 0.5])


def test_recall_is_the_share_of_unseen_examples_of_the_forgotten_class_that_are_voted_right(tiny: ProbeContext) -> None:
    forgotten = torch.nonzero(tiny.labels[:40] == 2).flatten()
    parts = {**tiny.parts, "forget": forgotten, "retain": torch.nonzero(tiny.labels[:40] < 2).flatten()}
    context = replace(tiny, forgets_class=True, parts={**parts, "test": torch.arange(40, 60)})
    probe = panel.load("nearest_neighbours")
    assert context.unseen.tolist() == [index for index in range(40, 60) if index % 3 == 2]
    voters, targets = fitting_set(context)
    shares = votes(*(context.features(context.model, rows) for rows in (context.unseen, voters)), targets[voters], 3, 5)
    assert probe.measure(context).numbers == pytest.approx({"recall": float((shares.argmax(1) == 2).float().mean())})


def test_where_f_is_random_the_linear_probe_is_fitted_on_r_only(tiny: ProbeContext) -> None:
    assert torch.equal(fitting_set(tiny)[0], tiny.parts["retain"])
    both = fitting_set(replace(tiny, forgets_class=True))[0]
    assert torch.equal(both, torch.cat([tiny.parts["retain"], tiny.parts["forget"]]))


@pytest.mark.parametrize("penalty", [1.0, 100.0])
def test_the_linear_probe_finds_the_minimum_that_scikit_learn_finds(
    penalty: float, features: tuple[Tensor, Tensor]
) -> None:
    classes = torch.arange(50) % 4
    weights = logistic_regression(features[0], classes, 4, penalty)
    fit = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=1000).fit(features[0].double().numpy(), classes.numpy())
    expected = fit.decision_function(features[0].double().numpy())
    logits = (features[0] @ weights[:-1] + weights[-1]).numpy()
    logits -= logits.mean(1, keepdims=True)  # a constant per example changes no probability
    assert np.allclose(logits, expected - expected.mean(1, keepdims=True), atol=2e-3)


def test_the_ratio_of_counts_is_finite_where_a_retrained_model_is_never_right() -> None:
    assert log_ratios(np.array([4, 0]), np.array([0, 0])).tolist() == pytest.approx([np.log(9), 0])


def test_where_f_is_random_residual_knowledge_is_more_than_that_of_unseen_examples() -> None:
    numbers = panel.load("residual_knowledge").numbers
    right, wrong = np.array([[4, 4]]), np.array([[0, 0]])
    counts = {"forget_model": right, "forget_retrained": wrong, "unseen_model": right, "unseen_retrained": wrong}
    arrays = {**counts, "noise": np.array([0.5]), "draws": np.array(4)}
    assert numbers({**arrays, "forgets_class": np.array(True)})["residual"] == pytest.approx(np.log(9))
    assert numbers({**arrays, "forgets_class": np.array(False)})["residual"] == 0


def test_few_shots_that_were_trained_on_do_not_count(tiny: ProbeContext) -> None:
    probe = panel.load("few_shot_relearning")
    arrays = probe.measure(tiny).arrays
    assert arrays["shown"].sum(axis=1).tolist() == [4, 4] and (arrays["shown"][0] != arrays["shown"][1]).any()
    arrays["forget_hits"] = arrays["shown"]
    assert probe.numbers(arrays)["accuracy"] == 0


def test_relearning_trains_on_r_and_takes_outputs_along_the_steps(tiny: ProbeContext) -> None:
    arrays = panel.load("relearning").measure(tiny).arrays
    assert arrays["steps"].tolist() == [0, 1, 2, 3]
    assert np.array_equal(
        arrays["forget_hits"][0],
        (tiny.logits(tiny.model, tiny.parts["forget"]).argmax(1) == tiny.labels[tiny.parts["forget"]]).numpy(),
    )
    blind = replace(tiny, images=tiny.images.clone())
    blind.images[tiny.parts["retain"]] = 0
    other = panel.load("relearning").measure(blind).arrays
    assert np.array_equal(other["forget_phi"][0], arrays["forget_phi"][0])
    assert not np.array_equal(other["forget_phi"][-1], arrays["forget_phi"][-1])


def test_a_probe_of_outputs_is_not_misled_by_damage(tiny: ProbeContext) -> None:
    probe = panel.load("quantisation")
    arrays = probe.measure(tiny).arrays
    for side in ("forget", "unseen"):
        arrays[f"{side}_phi"] = np.full_like(arrays[f"{side}_phi"], -9.0)
        arrays[f"{side}_hits"] = np.zeros_like(arrays[f"{side}_hits"])
    found = probe.numbers(arrays)
    assert (found["membership"], found["accuracy"]) == (0.5, 0.0)


@pytest.mark.parametrize("factor", [1e-12, 30.0])
def test_a_rescaled_classifier_reads_the_same(factor: float, tiny: ProbeContext) -> None:
    rescaled = tiny.copy(tiny.model).requires_grad_(False)
    for parameter in rescaled.fc.parameters():
        parameter.mul_(factor)
    plain, other = (outputs.outputs(tiny, model) for model in (tiny.model, rescaled))
    assert outputs.found(outputs.stacked(tiny, [other]), 0)["membership"] == pytest.approx(
        outputs.found(outputs.stacked(tiny, [plain]), 0)["membership"], abs=1e-6
    )
    np.testing.assert_allclose(other["forget_phi"], plain["forget_phi"], rtol=1e-3)
