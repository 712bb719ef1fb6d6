"""Methods of the NeurIPS 2023 competition that renew part of the model: PRMQ, KDE and RNI."""

from __future__ import annotations

import copy
from itertools import pairwise, product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.recording import (
    Entry,
    Tiny,
    assert_close,
    both_architectures,
    changed,
    cosine,
    images,
    loaders,
    parameters,
    recorded,
    stepped,
    weights,
)

# PRMQ


@both_architectures
@pytest.mark.parametrize("share", [0.0, 0.35, 0.99, 1.0])
def test_prmq_redraws_exactly_the_smallest_entries_of_the_whole_model(
    share: float, architecture: str, entry: Entry, tiny: Tiny
) -> None:
    model, _ = tiny(architecture)
    layers = weights(model, nn.Conv2d, nn.Linear)
    biases = {name.replace("weight", "bias") for name in layers} & set(parameters(model))
    with torch.no_grad():
        for name in biases:
            model.get_parameter(name).normal_(std=0.1)
    before = parameters(model)
    entry("prmq").redraw_smallest(model, share)
    after = parameters(model)
    prunable = [*layers, *biases]
    assert changed(before, after) <= set(prunable)
    old, new = (torch.cat([state[name].flatten() for name in prunable]) for state in (before, after))
    redrawn = old != new
    assert redrawn.sum() == round(share * len(old))
    assert not any(after[name][after[name] != before[name]].any() for name in biases)
    if 0 < share < 1:
        assert old[redrawn].abs().max() <= old[~redrawn].abs().min()
    if share == 1:
        for name in layers:
            fan_in = before[name].shape[1:].numel()
            assert after[name].abs().max() <= fan_in**-0.5
            if after[name].numel() > 200:
                assert after[name].std().item() == pytest.approx((3 * fan_in) ** -0.5, rel=0.2)


@pytest.mark.parametrize(("epochs", "count"), [(3.2, 9), (3.5, 10), (0.5, 1), (2, 6)])
def test_prmq_takes_a_fractional_number_of_epochs(epochs: float, count: int, entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny("resnet")
    with recorded(model) as steps:
        entry("prmq").unlearn(model, *sets, epochs=epochs, batch_size=16, lr=0.02)
    assert [step.lr for step in steps] == [0.02] * count


def test_prmq_matches_labels_and_the_entropy_of_the_original(entry: Entry, tiny: Tiny) -> None:
    model, _ = tiny("resnet")
    model.fc.weight.data.mul_(5)
    x, y = images("resnet", 40), torch.tensor([0] * 30 + [1] * 8 + [3] * 2)
    factor = torch.tensor([30**-0.1, 8**-0.1, 0, 2**-0.1])

    def entropy(logits: Tensor) -> Tensor:
        return torch.distributions.Categorical(logits=logits).entropy()

    with torch.no_grad():
        target = entropy(model.eval()(x))

    def labels(m: nn.Module) -> Tensor:
        each = F.cross_entropy(m(x), y, reduction="none")
        return (factor[y] * each).sum() / factor[y].sum()

    def both(m: nn.Module) -> Tensor:
        return labels(m) + (entropy(m(x)) - target).square().mean()

    expected, alone = stepped(model, both, 1.0), stepped(model, labels, 1.0)
    settings = {"prune_amount": 0.0, "epochs": 1.0, "batch_size": 64, "lr": 1.0, "weight_decay": 0.0}
    found = entry("prmq").unlearn(model, *loaders((x, y), (x, y), (x, y)), **settings)
    assert_close(found, expected, atol=1e-4)
    moved = parameters(alone)["fc.weight"] - parameters(expected)["fc.weight"]
    assert moved.abs().max() > 0.01  # the entropies do pull


def test_prmq_teaches_with_the_entropy_of_the_unpruned_model(
    entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sets = tiny("resnet")
    method, order = entry("prmq"), []
    entropy, redraw = method.entropy, method.redraw_smallest

    def noted_entropy(logits: Tensor) -> Tensor:
        order.append("student" if logits.requires_grad else "teacher")
        return entropy(logits)

    def noted_redraw(model: nn.Module, share: float) -> None:
        order.append("prune")
        redraw(model, share)

    monkeypatch.setattr(method, "entropy", noted_entropy)
    monkeypatch.setattr(method, "redraw_smallest", noted_redraw)
    method.unlearn(model, *sets, epochs=1.0, batch_size=16)
    assert order == ["teacher", "prune"] + ["student"] * 3


@both_architectures
def test_prmq_ends_in_numbers_of_half_precision(architecture: str, entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny(architecture)
    norm = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    norm.momentum = 0.0
    norm.load_state_dict(norm.state_dict() | {"running_var": torch.full((norm.num_features,), 1e6)})
    unlearned = entry("prmq").unlearn(model, *sets, epochs=1.0, batch_size=16, lr=0.01)
    for tensor in unlearned.state_dict().values():
        assert tensor.isfinite().all()
        assert not tensor.is_floating_point() or tensor.dtype == torch.float32
        assert torch.equal(tensor, tensor.half().to(tensor.dtype))
    assert norm.state_dict()["running_var"].tolist() == [65504] * norm.num_features


# KDE


@both_architectures
def test_kde_renews_the_first_convolution_and_the_last_linear_layer(
    architecture: str, entry: Entry, tiny: Tiny
) -> None:
    model, sets = tiny(architecture)
    before = parameters(model)
    still = {"lr": 0.0, "warmup_lr": 0.0, "epochs": 1, "warmup_epochs": 1}
    after = parameters(entry("kde").unlearn(model, *sets, **still))
    first, head = weights(model, nn.Conv2d)[0], "fc" if architecture == "resnet" else "head.fc"
    assert first in {"conv1.weight", "patch_embed.conv1.conv.weight"}
    renewed = changed(before, after)
    assert {first, f"{head}.weight"} <= renewed <= {first, f"{head}.weight", f"{head}.bias"}
    for name in (first, f"{head}.weight"):  # drawn as torch does by default, from U(±1/√fan_in)
        assert (after[name] != before[name]).all()
        assert after[name].std().item() == pytest.approx((3 * before[name][0].numel()) ** -0.5, rel=0.3)


@pytest.mark.parametrize("stage", ["warmup", "retain"])
def test_kde_stages_take_their_own_steps_on_their_own_data(stage: str, entry: Entry, tiny: Tiny) -> None:
    model, _ = tiny("resnet")
    model.fc.weight.data.mul_(10)
    kept, unseen = ((images("resnet", 40), torch.randint(0, 4, (40,))) for _ in range(2))
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    method, runs = entry("kde"), []
    for lr in (0.0, 0.1):
        torch.manual_seed(4)
        rates = {"warmup_lr": lr, "lr": 0.0} if stage == "warmup" else {"warmup_lr": 0.0, "lr": lr}
        shape = {"epochs": 1, "warmup_epochs": 1, "temperature": 2.0, "weight_decay": 0.0, "warmup_weight_decay": 0.0}
        runs.append(method.unlearn(copy.deepcopy(model), *loaders(kept, unseen, unseen), **rates, **shape))
    fresh, found = runs

    def divergence(m: nn.Module, x: Tensor) -> Tensor:
        p = (teacher(x) / 2).softmax(1)
        return (p * (p.log() - (m(x) / 2).log_softmax(1))).sum(1).mean()

    def objective(m: nn.Module) -> Tensor:
        if stage == "warmup":
            return divergence(m, unseen[0])
        x, y = kept
        soft = -((teacher(x) / 2).softmax(1) * (m(x) / 2).log_softmax(1)).sum(1).mean()
        return soft + F.cross_entropy(m(x), y) + divergence(m, x)

    assert_close(found, stepped(fresh, objective, 0.1))


def test_kde_warms_up_at_a_constant_rate_then_follows_a_cosine(entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny("resnet")  # 33 samples of R in 3 batches, 16 of V in 2
    with recorded(model) as steps:
        entry("kde").unlearn(
            model, *sets, epochs=4, warmup_epochs=3, batch_size=16, warmup_batch_size=8, lr=0.01, warmup_lr=0.02
        )
    falling = [rate for rate in cosine(0.01, 4) for _ in range(3)]
    assert [step.lr for step in steps] == pytest.approx([0.02] * 6 + falling)


# RNI


def normalisation(model: nn.Module) -> set[str]:
    """Names of the parameters of batch and layer norms."""
    norms = [n for n, m in model.named_modules() if type(m).__name__ in {"BatchNorm2d", "LayerNorm", "LayerNorm2d"}]
    return {f"{name}.{part}" for name in norms for part in ("weight", "bias")}


@both_architectures
def test_rni_trains_nine_tensors_and_all_norms_before_the_fine_epochs(
    architecture: str, entry: Entry, tiny: Tiny
) -> None:
    model, sets = tiny(architecture)
    everything, norms = set(parameters(model)), normalisation(model)
    with recorded(model) as steps:  # one per epoch
        entry("rni").unlearn(model, *sets, epochs=12, fine_share=0.17, batch_size=64, lr=0.03)
    picks = []
    for step in steps[:10]:
        assert step.trained & norms == norms and len(norms) > 20
        picks.append(step.trained - norms)
        assert len(picks[-1]) == 9
        assert step.lr == 0.03
    assert len({frozenset(pick) for pick in picks}) > 1
    assert set().union(*picks) - set(weights(model, nn.Conv2d, nn.Linear))  # biases, too
    assert [step.trained for step in steps[10:]] == [everything] * 2
    assert all(p.requires_grad for p in model.parameters())


@both_architectures
def test_rni_injects_noise_again_and_again_but_never_into_a_tensor_picked_before(
    architecture: str, entry: Entry, tiny: Tiny
) -> None:
    model, sets = tiny(architecture)
    norms = normalisation(model)
    settings = {"epochs": 9, "fine_share": 0.34, "reset_share": 0.3, "noise_ratio": 1.0, "origin_noise": 0.5}
    with recorded(model) as steps:
        entry("rni").unlearn(model, *sets, **settings, batch_size=64, lr=0.0, fine_lr=0.0)
    states = [*(step.before for step in steps), parameters(model)]
    hits = [changed(old, new) for old, new in pairwise(states)]  # what epochs 2 to 9 and the end add
    picks = [step.trained - norms for step in steps[:6]]
    fresh = [pick - set().union(*picks[:epoch]) for epoch, pick in enumerate(picks)]
    assert hits == [set(), *fresh[2:], *[set()] * 4]
    assert sum(map(bool, hits)) > 1
    moves = zip(hits, pairwise(states), strict=True)
    noise = [(new[name] - old[name]).flatten() for hit, (old, new) in moves for name in hit]
    assert torch.cat(noise).std().item() == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize(("noise_ratio", "count"), [(0.12, 1), (0.7, 6), (1.0, 9)])
def test_rni_injects_into_a_share_of_the_nine(
    noise_ratio: float, count: int, entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sets = tiny("resnet")
    method, counts = entry("rni"), []
    monkeypatch.setattr(method, "add_noise", lambda tensors, std: counts.append(len(tensors)))
    method.unlearn(model, *sets, epochs=2, noise_ratio=noise_ratio, batch_size=64)
    assert counts == [count]


def test_rni_injects_noise_once_even_if_all_has_been_picked_before(
    entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sets = tiny("resnet")
    method, counts = entry("rni"), []
    monkeypatch.setattr(method, "PICKED", 1000)
    monkeypatch.setattr(method, "add_noise", lambda tensors, std: counts.append(len(tensors)))
    method.unlearn(model, *sets, epochs=5, fine_share=0.2, batch_size=64)
    assert counts[0] > 0 and not any(counts[1:])


@both_architectures
def test_rni_renews_the_head_alone(architecture: str, entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny(architecture)
    before = parameters(model)
    after = parameters(entry("rni").unlearn(model, *sets, fine_lr=0.0, epochs=1))
    head = "fc" if architecture == "resnet" else "head.fc"
    assert {f"{head}.weight"} <= changed(before, after) <= {f"{head}.weight", f"{head}.bias"}
    assert (after[f"{head}.weight"] != before[f"{head}.weight"]).all()


def test_rni_has_noisy_epochs_at_every_point_of_its_space(entry: Entry) -> None:
    method = entry("rni")
    assert method.parts(9, 0.2, 0.44) == (1, 4, 4)  # the published ones
    assert method.parts(2, 0.2, 0.44) == (0, 1, 1)
    assert method.parts(1, 0.2, 0.44) == (0, 0, 1)
    resets, fines, fewest = (method.SEARCH_SPACE[name][1:] for name in ("reset_share", "fine_share", "epochs"))
    for epochs, reset_share, fine_share in product(range(fewest[0], 40), resets, fines):
        found = method.parts(epochs, reset_share, fine_share)
        assert min(found) >= 1 and sum(found) == epochs


def test_rni_fine_epochs_rise_in_their_last_quarter(entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny("resnet")
    with recorded(model) as steps:
        entry("rni").unlearn(model, *sets, epochs=12, fine_share=0.5, batch_size=64, lr=0.01, fine_lr=0.02)
        entry("rni").unlearn(model, *sets, batch_size=64)
    assert [step.lr for step in steps[:12]] == [0.01] * 10 + [0.02] * 2
    assert [step.lr for step in steps[12:]] == [2e-4] * 8 + [1e-3]
    assert len({id(step.optimizer) for step in steps[:12]}) == 12  # no momentum crosses from one epoch to the next
