"""Behaviour of FT, GA, NG+, CT, MSG, the reference rows and the shipped submissions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.conftest import DIGITS, accuracy
from unlearn_bench.sandbox.inside.models import build

Entry = Callable[[str], ModuleType]
Digits = dict[str, tuple[Tensor, Tensor]]


def loss(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(data[0]), data[1]).item()


def gradients(model: nn.Module, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Of the mean cross-entropy in train mode, by parameter name; the model is left alone."""
    model = copy.deepcopy(model).train()
    F.cross_entropy(model(data[0]), data[1]).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def one_batch(*data: tuple[Tensor, Tensor]) -> list[Any]:
    return [torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*pair), batch_size=64) for pair in data]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters", "floor"),
    [
        ("ft", {"epochs": 2}, 0.98),
        ("ng_plus", {"epochs": 2}, 0.98),
        ("ct", {"epochs": 10, "lr": 0.1}, 0.9),
        ("msg", {"lr": 0.05}, 0.95),
        ("shrink_perturb", {}, 0.93),
        ("template", {"epochs": 1}, 0.98),
    ],
)
def test_retain_accuracy_survives(
    name: str,
    parameters: dict[str, Any],
    floor: float,
    entry: Entry,
    original: nn.Module,
    digits: Digits,
    digits_loaders: Any,
) -> None:
    unlearned = entry(name).unlearn(original, *digits_loaders, **parameters)
    assert accuracy(unlearned, digits["retain"]) > floor


@pytest.mark.slow
@pytest.mark.parametrize("name", ["msg", "shrink_perturb"])
def test_forget_accuracy_falls_towards_test_accuracy(
    name: str, entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    assert accuracy(original, digits["forget"]) > 0.98 and accuracy(original, digits["test"]) < 0.9
    unlearned = entry(name).unlearn(original, *digits_loaders, **({"lr": 0.05} if name == "msg" else {}))
    assert accuracy(unlearned, digits["forget"]) < 0.95


@pytest.mark.slow
def test_retrain_learns_the_retain_set_alone(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    retrained = entry("retrain").unlearn(original, *digits_loaders)
    assert accuracy(retrained, digits["retain"]) > 0.95
    assert accuracy(retrained, digits["forget"]) < 0.9


def test_retrain_keeps_nothing_of_the_original(entry: Entry, original: nn.Module, digits: Digits) -> None:
    loaders = one_batch(tuple(tensor[:64] for tensor in digits["retain"]), digits["forget"], digits["val"])
    results = []
    for model in (original, build(DIGITS)):
        torch.manual_seed(3)
        results.append(
            entry("retrain").unlearn(model, *loaders, epochs=1, crop=1, flip=True, schedule="cosine").state_dict()
        )
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_original_is_returned_as_it_is(entry: Entry, original: nn.Module, digits_loaders: Any) -> None:
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    after = entry("original").unlearn(original, *digits_loaders).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_ga_makes_the_forget_set_unlikely(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    before = loss(original, digits["forget"])
    retain = accuracy(original, digits["retain"])
    unlearned = entry("ga").unlearn(original, *digits_loaders)
    assert loss(unlearned, digits["forget"]) > 1.5 * before
    assert accuracy(unlearned, digits["retain"]) > retain - 0.1


@pytest.mark.parametrize("lr", [1e3, 1e10, 1e30])
def test_ga_stops_while_everything_is_finite(
    lr: float, entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    unlearned = entry("ga").unlearn(original, *digits_loaders, lr=lr, epochs=20).eval()
    assert all(tensor.isfinite().all() for tensor in unlearned.state_dict().values())
    with torch.no_grad():
        assert unlearned(digits["test"][0]).isfinite().all()


@pytest.mark.parametrize("a", [1.0, 0.6])
def test_ng_plus_steps_along_the_mix_in_train_mode(a: float, entry: Entry, original: nn.Module, digits: Digits) -> None:
    kept, forgotten = (tuple(tensor[:40] for tensor in digits[name]) for name in ("retain", "forget"))
    down, up = gradients(original, kept), gradients(original, forgotten)
    before = copy.deepcopy(original)
    after = entry("ng_plus").unlearn(original, *one_batch(kept, forgotten, kept), a=a, epochs=1, batch_size=40, lr=0.1)
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        expected = old - 0.1 * (a * down[name] - (1 - a) * up[name])
        torch.testing.assert_close(new, expected, atol=1e-5, rtol=1e-3)
    assert not torch.equal(before.bn1.running_mean, after.bn1.running_mean)


@pytest.mark.parametrize("lr", [1.0, 1e3, 1e30])
def test_ng_plus_stops_while_everything_is_finite(lr: float, entry: Entry, tiny: Callable[[str], Any]) -> None:
    model, loaders = tiny("resnet")
    unlearned = entry("ng_plus").unlearn(model, *loaders, a=0.0, lr=lr, epochs=20).eval()
    assert all(tensor.isfinite().all() for tensor in unlearned.state_dict().values())
    with torch.no_grad():
        assert all(unlearned(batch[0]).isfinite().all() for batch in loaders[1])


@pytest.mark.slow
def test_ng_plus_hurts_the_forget_set_more_than_the_retain_set(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    unlearned = entry("ng_plus").unlearn(original, *digits_loaders, a=0.9, lr=0.5, batch_size=128)
    assert accuracy(unlearned, digits["forget"]) < accuracy(unlearned, digits["retain"]) - 0.1


@pytest.mark.parametrize("architecture", ["resnet", "tinyvit"])
def test_ct_twice_is_the_identity(architecture: str, entry: Entry, tiny: Callable[[str], Any]) -> None:
    model, _ = tiny(architecture)
    before = copy.deepcopy(model)
    entry("ct").transpose(model)
    moved = [
        n for (n, p), q in zip(model.named_parameters(), before.parameters(), strict=True) if not torch.equal(p, q)
    ]
    kernels = [f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert moved == kernels and len(kernels) > 5
    assert all(torch.equal(model.get_parameter(n), before.get_parameter(n).mT) for n in kernels)
    entry("ct").transpose(model)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters(), strict=True))


def test_msg_contrast_is_zero_between_equal_sets(entry: Entry, original: nn.Module, digits: Digits) -> None:
    weights = [m.weight for m in original.modules() if isinstance(m, nn.Conv2d)]
    original.train()
    same, other = digits["forget"], tuple(tensor[:200] for tensor in digits["retain"])
    equal = entry("msg").contrast(original, weights, *one_batch(same, same), 256)
    unequal = entry("msg").contrast(original, weights, *one_batch(other, same), 256)
    assert max(g.abs().max().item() for g in equal) < 1e-4 * max(g.abs().max().item() for g in unequal)


def test_msg_redraws_exactly_the_smallest_gradients(entry: Entry) -> None:
    weights = [torch.full((4, 8, 3, 3), 5.0), torch.full((64, 16, 3, 3), 5.0)]
    slopes = [torch.randn_like(weight) for weight in weights]
    masks = entry("msg").redraw(weights, slopes, 0.3)
    for weight, slope, mask in zip(weights, slopes, masks, strict=True):
        assert mask.sum() == round(0.3 * weight.numel())
        assert slope.abs()[mask].max() <= slope.abs()[~mask].min()
        assert (weight[~mask] == 5).all() and (weight[mask] != 5).all()
    assert weights[1][masks[1]].std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_msg_damps_kept_weights_tenfold_decay_included(entry: Entry, original: nn.Module, digits: Digits) -> None:
    kept, forgotten = (tuple(tensor[:40] for tensor in digits[name]) for name in ("retain", "forget"))
    loaders = one_batch(kept, forgotten, kept)
    runs = []
    for lr in (0.0, 0.01):
        torch.manual_seed(5)
        runs.append(entry("msg").unlearn(copy.deepcopy(original), *loaders, epochs=1, lr=lr, weight_decay=0.5))
    started, ended = runs
    slopes = gradients(started, kept)
    for (name, start), end, old in zip(
        started.named_parameters(), ended.parameters(), original.parameters(), strict=True
    ):
        convolution = isinstance(started.get_submodule(name.rpartition(".")[0]), nn.Conv2d)
        factor = torch.where(start == old, 0.1, 1.0) if convolution else 1.0
        expected = start - 0.01 * factor * (slopes[name] + 0.5 * start)
        torch.testing.assert_close(end, expected, atol=1e-6, rtol=1e-3)


def test_msg_rate_rises_then_falls_and_never_vanishes(entry: Entry) -> None:
    factors = {epochs: [entry("msg").rate(epoch, epochs) for epoch in range(epochs)] for epochs in (1, 2, 5)}
    assert factors == {1: [1], 2: [1, 1 / 2], 5: [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]}
