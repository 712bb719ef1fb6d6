"""CF-k, FF and IU take the steps of their authors' code, restated: equal weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tests.baselines.ports.peers import port
from tests.baselines.recording import Digits, Entry, assert_close, loaders


@pytest.mark.parametrize(("share", "k"), [(0.0, 1), (0.1, 2), (0.45, 9), (1.0, 20)])
def test_cf_k_takes_the_steps_of_its_authors(
    share: float, k: int, entry: Entry, original: nn.Module, digits: Digits
) -> None:
    images, labels = (tensor[:40] for tensor in digits["retain"])
    few = loaders((images, (labels + 1) % 10))  # in one step an epoch, so that the order plays no part
    with torch.no_grad():
        original.fc.weight.mul_(10)  # so that gradients are clipped
    settings: dict[str, Any] = {"epochs": 5, "batch_size": 64, "lr": 0.002, "weight_decay": 0.1}
    expected = port("cf_k")(copy.deepcopy(original), *few * 3, k=k, **settings)
    found = entry("cf_k").unlearn(original, *few * 3, share=share, **settings)
    assert_close(found, expected)
    for (name, p), q in zip(found.named_buffers(), expected.buffers(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-3, msg=f"{name}: {{}}".format)


@pytest.mark.slow
@pytest.mark.parametrize("power", [1.0, 0.5])
def test_ff_adds_the_noise_of_its_authors(power: float, entry: Entry, original: nn.Module, digits: Digits) -> None:
    images, labels = (tensor[:24] for tensor in digits["retain"])
    few = loaders((images.double(), labels))
    original.double()
    torch.manual_seed(3)
    torch.randperm(24)  # the draw of at most ``max_samples``, here of all
    expected = port("ff")(copy.deepcopy(original), *few * 3, alpha=1e-5, power=power)
    torch.manual_seed(3)
    found = entry("ff").unlearn(copy.deepcopy(original), *few * 3, alpha=1e-5, power=power)
    share = power / 2 * 1e-8 * 1000 ** (1 / power)  # by which the authors' f + 1e-8 lowers the largest noise
    largest = 0.0
    for before, p, q in zip(original.parameters(), found.parameters(), expected.parameters(), strict=True):
        noise = (q - before).abs()
        assert ((p - q).abs() <= share * noise + 1e-9).all()
        largest = max(largest, noise.max().item())
    assert largest > 1e-2


def net() -> nn.Module:
    """Some 500 parameters, batch norm among them, in double precision."""
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("alpha", [0.5, 20.0])
@pytest.mark.parametrize("rows", [1000, 7])
def test_iu_agrees_with_a_dense_solve(alpha: float, rows: int, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    module, model = entry("iu"), net()
    kept = [(3 * torch.randn(n, 1, 8, 8, dtype=torch.double), torch.randint(0, 4, (n,))) for n in (12, 11)]
    forgotten = [(3 * torch.randn(9, 1, 8, 8, dtype=torch.double), torch.randint(0, 4, (9,)))]
    model(kept[0][0])  # statistics that are not those of a new model
    expected = port("iu")(copy.deepcopy(model), kept, forgotten, None, alpha=alpha)

    monkeypatch.setattr(module, "BATCH", 10)
    monkeypatch.setattr(module, "solve", lambda *a, solve=module.solve: solve(*a, room=rows * len(a[3])))
    found = module.unlearn(copy.deepcopy(model), kept, forgotten, None, alpha=alpha)
    for p, q in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-9, rtol=1e-6)

    monkeypatch.setattr(module, "solve", lambda model, images, labels, v: v)
    plain = module.unlearn(copy.deepcopy(model), kept, forgotten, None, alpha=alpha)
    with pytest.raises(AssertionError):  # the curvature matters here
        assert_close(plain, expected, atol=1e-3)
