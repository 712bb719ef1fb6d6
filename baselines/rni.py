# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "RNI"
# authors = "7th place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/459095"
# licence = "Apache-2.0"
# ///
"""Repeated noise injection: renew the head, then train a few noisy tensors at a time on the retain set.

7th place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/459095; Deep Unlearn, section 3.2.

Idea: after the head has been re-initialised, each epoch trains nine tensors, picked anew, and all normalisation. First
come reset epochs, then noisy ones, in which a share of the nine gets noise before it is trained, then fine epochs,
which train everything without noise. SGD on the cross-entropy of R.
Reads: R. Cost: ``epochs`` passes over R.
Decisions: the nine are picked among all tensors that are not normalisation, biases included; normalisation is known by
module type, where the competition's code goes by names. Noise hits the share ``noise_ratio`` of the nine tensors, all
their entries, but no tensor that an earlier epoch has picked, so none gets noise twice. Should this rule leave none in
the first noisy epoch, it is waived there: noise is injected at least once. ``fine_share`` is a share of all epochs,
``reset_share`` of those before the fine ones; both are rounded so that of three epochs or more at least one is of each
kind. Two epochs are a noisy and a fine one, one is a fine one alone. Each epoch has its own optimizer. The last quarter
of the fine epochs, rounded up, has the rate ``fine_lr``, all before has ``lr``.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it: 1 reset, 4 noisy and 4 fine epochs, of
which three have the rate 2e-4 and the last 1e-3. Deep Unlearn's search has one rate for all fine epochs.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, head, rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "noise_ratio": ("uniform", 0.12, 1.0),
    "origin_noise": ("log", 1e-2, 1.0),
    "lr": ("rate", 1e-5, 1.0),
    "fine_lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 3, "max_epochs"),
    "reset_share": ("uniform", 0.1, 0.3),
    "fine_share": ("uniform", 0.1, 0.8),
}

PICKED = 9
"""Tensors that an epoch before the fine ones trains, beside normalisation."""

NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    noise_ratio: float = 0.7,
    origin_noise: float = 0.04,
    epochs: int = 9,
    reset_share: float = 0.2,
    fine_share: float = 0.44,
    batch_size: int = 64,
    lr: float = 2e-4,
    fine_lr: float = 1e-3,
    weight_decay: float = 5e-4,
) -> nn.Module:
    normalisation = [p for m in model.modules() if isinstance(m, NORMALISATION) for p in m.parameters()]
    others = [p for p in model.parameters() if all(p is not norm for norm in normalisation)]
    head(model).reset_parameters()

    model.train()
    batches = rebatch(retain, batch_size)
    reset, noisy, fine = parts(epochs, reset_share, fine_share)
    noised = max(1, int(noise_ratio * PICKED))
    seen: set[int] = set()
    for epoch in range(reset + noisy):
        picked = torch.randperm(len(others))[:PICKED].tolist()
        if epoch >= reset:
            fresh = [index for index in picked[:noised] if index not in seen]
            if not fresh and epoch == reset:
                fresh = picked[:noised]
            add_noise([others[index] for index in fresh], origin_noise)
        seen.update(picked)
        model.requires_grad_(False)
        trained = [p.requires_grad_() for p in [*(others[index] for index in picked), *normalisation]]
        train_epoch(cross_entropy(model), batches, sgd(trained, lr, weight_decay))

    model.requires_grad_(True)
    for epoch in range(fine):
        rate = fine_lr if epoch >= fine - math.ceil(fine / 4) else lr
        train_epoch(cross_entropy(model), batches, sgd(model.parameters(), rate, weight_decay))
    return model


def parts(epochs: int, reset_share: float, fine_share: float) -> tuple[int, int, int]:
    """How many epochs are reset, noisy and fine ones: of three or more at least one each."""
    fine = max(1, min(round(fine_share * epochs), epochs - 2))
    before = epochs - fine
    reset = max(0, min(max(1, round(reset_share * before)), before - 1))
    return reset, before - reset, fine


@torch.no_grad()
def add_noise(tensors: Iterable[Tensor], std: float) -> None:
    """Add N(0, std²) in place."""
    for tensor in tensors:
        tensor.add_(torch.randn_like(tensor), alpha=std)
