# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "UNSIR"
# authors = "A. K. Tarun, V. S. Chundawat, M. Mandal, M. Kankanhalli"
# paper = "https://arxiv.org/abs/2111.08947"
# licence = "Apache-2.0"
# ///
"""UNSIR: teach the labels of the forget set to noise that contradicts them, then repair on the retain set.

Tarun, Chundawat, Mandal and Kankanhalli 2023, "Fast Yet Effective Machine Unlearning", arXiv:2111.08947.

Idea: (1) images N, from N(0, 1), are changed by Adam to make the original's error on the labels of F large, by descent
on −CE(N) + ``penalty``·mean ‖N‖². (2) Impair: train on copies of N under these labels, together with a share of R. (3)
Repair: train on that share of R alone. The class that noise stands for is overwritten; the others survive.
Reads: R and F; of F the labels alone. Cost: ``impair_epochs`` + ``repair_epochs`` passes over the share
``retain_share`` of R, ``noise_share`` as many images of noise per impair pass, and ``noise_steps`` steps on a batch of
it.
Decisions: the method was made for whole classes. Noise gets the labels of F in their proportions, so for one class this
is the authors' procedure; where F is drawn from all classes, noise stands for all, and the examples of R in the same
batches defend them. N is shared by the classes of F (the authors have a batch for each) and is made in eval mode,
against the original as it predicts; the authors' notebook leaves the network in train mode there. It labels the noise
of every class with class 0; here each keeps its own. Shares replace its counts: 1,000 of 5,000 images per class, and 20
copies of the noise of two classes beside 8,000 images of R. Adam without decay, at a constant rate.
Defaults: all from the authors' notebook for CIFAR-10 (github.com/vikram2000b/Fast-Machine-Unlearning).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, tensors, train_epoch

SEARCH_SPACE = {
    "retain_share": ("log", 0.1, 1.0),
    "noise_share": ("log", 0.05, 2.0),
    "penalty": ("log", 1e-3, 1.0),
    "impair_lr": ("rate", 1e-5, 1e-1),
    "repair_lr": ("rate", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "impair_epochs": ("int", 1, "max_epochs"),
    "repair_epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    retain_share: float = 0.2,
    noise_share: float = 1.28,
    noise_steps: int = 40,
    noise_lr: float = 0.1,
    penalty: float = 0.1,
    impair_epochs: int = 1,
    impair_lr: float = 0.02,
    repair_epochs: int = 1,
    repair_lr: float = 0.01,
    batch_size: int = 256,
) -> nn.Module:
    images, labels = tensors(retain)
    drawn = torch.randperm(len(labels), device=labels.device)[: max(2, math.ceil(retain_share * len(labels)))]
    kept = images[drawn], labels[drawn]
    targets = repeated(tensors(forget)[1], batch_size)
    noise = disturb(model, torch.randn_like(repeated(images, batch_size)), targets, noise_steps, noise_lr, penalty)
    copies = repeated(torch.arange(len(noise), device=noise.device), max(1, round(noise_share * len(drawn))))
    mixed = torch.cat([noise[copies], kept[0]]), torch.cat([targets[copies], kept[1]])
    train(model, Batches(*mixed, batch_size=batch_size), impair_epochs, impair_lr)
    return train(model, Batches(*kept, batch_size=batch_size), repair_epochs, repair_lr)


def disturb(model: nn.Module, noise: Tensor, targets: Tensor, steps: int, lr: float, penalty: float) -> Tensor:
    """Noise [n, c, h, w] on which the model in eval mode errs about the targets [n]; the weights stay as they are."""
    noise.requires_grad_(True)
    optimizer = torch.optim.Adam([noise], lr=lr, fused=True)
    model.eval().requires_grad_(False)
    for _ in range(steps):
        loss = penalty * noise.square().sum((1, 2, 3)).mean() - F.cross_entropy(model(noise), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.requires_grad_(True)
    return noise.detach()


def repeated(data: Tensor, n: int) -> Tensor:
    """n entries of ``data`` in a random order, each of them as often as any other or once more."""
    orders = [torch.randperm(len(data), device=data.device) for _ in range(math.ceil(n / len(data)))]
    return data[torch.cat(orders)[:n]]


def train(model: nn.Module, batches: Batches, epochs: int, lr: float) -> nn.Module:
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    for _ in range(epochs):
        train_epoch(cross_entropy(model), batches, optimizer)
    return model
