# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "SCRUB"
# authors = "M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou"
# paper = "https://arxiv.org/abs/2302.09880"
# licence = "Apache-2.0"
# ///
"""SCRUB: move away from the original's answers on the forget set, stay with them on the retain set.

Kurmanji, Triantafillou, Hayes and Triantafillou 2023, "Towards Unbounded Machine Unlearning", arXiv:2302.09880;
Deep Unlearn, section 3.2.

Idea: the original is the teacher. Every epoch is a min pass over R with γ·CE + α·T²·KL(teacher ‖ student); in the first
epochs, the share ``max_share`` of all, a max pass over F with −T²·KL goes before it. One SGD does both. ``rewind`` ends
with the epoch whose error on F is nearest to the error that the last epoch's model has on V: as wrong on F as on unseen
data, not more.
Reads: R and F. With ``rewind``, which is off by default, V too. Cost: ``epochs`` passes over R, the share ``max_share``
of as many over F, and one over both for the teacher's answers; with ``rewind`` also ``epochs`` over F and one over V,
all for inference, and without it up to 256 samples of F per epoch.
Decisions: the teacher answers in eval mode and nothing is augmented, so every sample is asked about once. The number of
max passes is rounded up, so there is one at least. The rate is multiplied by ``decay`` after three fifths of the
epochs, which is after 3 of the authors' 5. Rewinding looks at those examples of V alone whose class occurs in F, as the
authors do, and keeps the states of all epochs in memory; of equally near epochs the first counts, and the original does
not. The max pass has no bound: when the state or answers on F are no longer finite after an epoch, the epoch before it
is the last. The authors' settings for smoothing, clipping and averaged weights have no effect in their code and are
left out.
Defaults: all from the authors' notebook for CIFAR-10, ResNet and membership inference (github.com/meghdadk/SCRUB,
``MIA_experiments.ipynb``). Elsewhere they take α from .001 to .5, γ .99, 3 or 10 epochs, or Adam.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, divergence, finite, predict, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "alpha": ("log", 1e-3, 1.0),
    "gamma": ("uniform", 0.1, 1.0),
    "temperature": ("uniform", 0.1, 5.0),
    "max_share": ("uniform", 0.1, 1.0),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "retain_batch_size": ("choice", (32, 64, 128, 256)),
    "forget_batch_size": ("choice", (16, 64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float = 0.5,
    gamma: float = 1.0,
    temperature: float = 4.0,
    epochs: int = 5,
    max_share: float = 0.6,
    retain_batch_size: int = 32,
    forget_batch_size: int = 16,
    lr: float = 5e-4,
    weight_decay: float = 5e-4,
    decay: float = 0.1,
    rewind: bool = False,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    retained = Batches(*kept, predict(model, kept[0]), batch_size=retain_batch_size)
    scrubbed = Batches(forgotten[0], predict(model, forgotten[0]), batch_size=forget_batch_size)

    def distance(student: Tensor, teacher: Tensor) -> Tensor:
        return temperature**2 * divergence(student, teacher, temperature)

    def leave(images: Tensor, teacher: Tensor) -> Tensor:
        return -distance(model(images), teacher)

    def stay(images: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
        student = model(images)
        return gamma * F.cross_entropy(student, labels) + alpha * distance(student, teacher)

    optimizer = sgd(model.parameters(), lr, weight_decay)
    schedule = LambdaLR(optimizer, lambda epoch: decay if epoch >= math.ceil(3 * epochs / 5) else 1.0)
    states, errors = [snapshot(model)], []
    for epoch in range(epochs):
        model.train()
        if epoch < max_share * epochs:
            train_epoch(leave, scrubbed, optimizer)
        train_epoch(stay, retained, optimizer)
        schedule.step()
        if not finite(model, predict(model, forgotten[0][:256])):
            model.load_state_dict(states[-1])
            break
        states = [*(states if rewind else []), snapshot(model)]
        if rewind:
            errors.append(error(model, *forgotten))
    if errors:
        images, labels = tensors(val)
        same = torch.isin(labels, forgotten[1])
        distances = (torch.stack(errors) - error(model, images[same], labels[same])).abs().tolist()
        model.load_state_dict(states[1 + distances.index(min(distances))])
    return model


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def error(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Share of wrong answers in eval mode, a scalar on the device."""
    return (predict(model, images).argmax(dim=1) != labels).float().mean()
