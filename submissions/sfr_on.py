# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "SFR-on"
# authors = "Z. Huang, X. Cheng, J. Zheng, H. Wang, Z. He, T. Li, X. Huang"
# paper = "https://arxiv.org/abs/2409.19732"
# licence = "Apache-2.0"
# ///
"""SFR-on: sparse, weighted ascent on the forget set now and then, amid a training on the retain set that absorbs it.

Huang, Cheng, Zheng, Wang, He, Li and Huang 2024, "Unified Gradient-Based Machine Unlearning with Remain Geometry
Enhancement", arXiv:2409.19732.

Idea: before every ``forget_every``-th step on CE(R), one step of ascent on F: along −α·Σ w ℓ with weights w ∝
ℓ^−``lambda_`` that spare what is forgotten already, on the weights alone whose Fisher information on F is at least
``threshold`` times that on R, with the gradient cut to the norm ``clip``. α falls from ``alpha`` to 0 along a cosine,
as the rate does. The steps on R in between bring the ascent back to where R is still known, which stands for the
Hessian.
Reads: R and F. Cost: ``epochs`` passes over R, one step on a batch of F in ``forget_every``, and one pass over both for
the mask.
Decisions: the Fisher information is the mean over batches of the squared gradient, in eval mode, as in the authors'
code; such squares shrink as a batch grows, so both sets are cut into batches of about one size, at most |F|. One
optimizer does both kinds of step, so momentum and weight decay reach weights outside of the mask, as in the authors'
code. Their slow weights average nothing at their setting (``ema_beta`` 1) and are left out. In w a loss counts as
``LEAST`` at least: one of 0 would take all of the weight and has no gradient. The ascent has no bound: when the state
or answers on F are no longer finite after an epoch, the epoch before it is the result.
Defaults: all from the authors' code for 10 % of CIFAR-10 (github.com/K1nght/Unified-Unlearning-w-Remain-Geometry);
``epochs`` is the 4.3 passes that its 1,500 steps are, rounded.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import (
    Batches,
    cross_entropy,
    differentiable_eval,
    finite,
    forever,
    predict,
    recipe_schedule,
    sgd,
    tensors,
    train_epoch,
)

SEARCH_SPACE = {
    "alpha": ("log", 0.1, 1000.0),
    "lambda_": ("uniform", 0.0, 2.0),
    "threshold": ("log", 0.1, 10.0),
    "forget_every": ("int", 1, 10),
    "clip": ("log", 0.1, 100.0),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}

FLOOR = 1e-15
"""What is added to both informations, so that a weight without any is in the mask at a threshold of 1."""

LEAST = 1e-6
"""The least loss in nats for which a sample is weighted."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float = 25.0,
    lambda_: float = 0.5,
    threshold: float = 1.0,
    forget_every: int = 5,
    clip: float = 7.0,
    epochs: int = 4,
    batch_size: int = 128,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    masks = salient(model, kept, forgotten, min(batch_size, len(forgotten[1])), threshold)
    retained, scrubbed = Batches(*kept, batch_size=batch_size), forever(Batches(*forgotten, batch_size=batch_size))
    optimizer = sgd(model.parameters(), lr, weight_decay)
    total = epochs * len(retained)
    schedule = recipe_schedule(optimizer, "cosine", lr, total, steps_per_epoch=1)
    weights = list(model.parameters())

    def restrict() -> None:
        for weight, mask in zip(weights, masks, strict=True):
            assert weight.grad is not None
            weight.grad.mul_(mask)
        nn.utils.clip_grad_norm_(weights, clip)

    def ascent(rate: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda images, labels: -rate * adaptive(model(images), labels, lambda_)

    before: dict[str, Tensor] = {}
    for epoch in range(epochs):
        before.clear()  # so that there is one copy at a time
        before.update({name: tensor.clone() for name, tensor in model.state_dict().items()})
        model.train()
        for step, batch in enumerate(retained, start=epoch * len(retained)):
            if step % forget_every == 0:
                rate = alpha * (1 + math.cos(math.pi * step / total)) / 2
                train_epoch(ascent(rate), [next(scrubbed)], optimizer, before_step=restrict)
            train_epoch(cross_entropy(model), [batch], optimizer, schedule)
        if not finite(model, predict(model, forgotten[0][:256])):
            model.load_state_dict(before)
            break
    return model


def adaptive(logits: Tensor, labels: Tensor, power: float) -> Tensor:
    """Mean of the cross-entropies, each weighted by itself to the power of −``power``; the weights have mean 1."""
    losses = F.cross_entropy(logits, labels, reduction="none")
    weights = losses.detach().clamp(min=LEAST).pow(-power)
    return (weights / weights.mean() * losses).mean()


def salient(
    model: nn.Module,
    kept: tuple[Tensor, Tensor],
    forgotten: tuple[Tensor, Tensor],
    batch_size: int,
    threshold: float,
) -> list[Tensor]:
    """Masks of the weights whose information on F is at least ``threshold`` times that on R."""
    of_forgotten, of_kept = (information(model, *data, batch_size) for data in (forgotten, kept))
    return [(f + FLOOR) / (r + FLOOR) >= threshold for f, r in zip(of_forgotten, of_kept, strict=True)]


def information(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> list[Tensor]:
    """Mean over batches of the squared gradient of the mean CE with respect to every parameter, as in eval mode."""
    differentiable_eval(model)
    weights = list(model.parameters())
    batches = Batches(images, labels, batch_size=batch_size)
    total = [torch.zeros_like(weight) for weight in weights]
    for x, y in batches:
        slopes = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
        torch._foreach_addcmul_(total, slopes, slopes, value=1 / len(batches))
    return total
