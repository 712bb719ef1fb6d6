# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "AMUN"
# authors = "A. Ebrahimpour-Boroojeny, H. Sundaram, V. Chandrasekaran"
# paper = "https://arxiv.org/abs/2503.00917"
# licence = "Apache-2.0"
# ///
"""AMUN: fine-tune on all data and on the nearest adversarial examples of the forget set under their wrong labels.

Ebrahimpour-Boroojeny, Sundaram and Chandrasekaran 2025, "Not All Wrong is Bad: Using Adversarial Examples for
Unlearning", arXiv:2503.00917.

Idea: near each example of F lies an image that the original already takes for another class. To train on these images,
as the original answers them, moves the decision boundary towards F and changes little elsewhere, so the model is no
surer of F than of unseen examples. (1) Attack the original: ``attack_steps`` steps of a tenth of ε along ∇ₓCE within
the L2 ball of radius ε, until the answer is wrong; ε starts at ``radius`` and doubles for those that are still right.
(2) SGD on the CE of R, of F with its true labels, and of the adversarial images with the labels that the original gives
them.
Reads: R and F. Cost: ``epochs`` passes over R and two over F; and up to ``attack_steps`` per radius over what is left
of F.
Decisions: F keeps its true labels beside the adversarial images, as in the authors' code and text; ``with_forget`` off
leaves it out, their variant ``advonly``. Distances are in units of an image's range, from the least to the largest
value of each channel in F. The search for each image goes on from where the smaller radius left it, as in the authors'
code, and ends at ``ROUNDS`` radii; what is right even then has no adversarial image and adds none. The original answers
in eval mode. The rate falls to a tenth every ``decay_epochs`` epochs. No augmentation.
Defaults: all from the authors' code (github.com/Ali-E/AMUN); its searches also try rates from 1e-5 to .1 and a fall
every 5 or 10 epochs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "with_forget": ("choice", (True, False)),
    "decay_epochs": ("choice", (1, 5, 10)),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}

ROUNDS = 8
"""How often the radius is tried and doubled; the last one is 128 times the first."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    with_forget: bool = True,
    radius: float = 0.04,
    attack_steps: int = 50,
    epochs: int = 10,
    decay_epochs: int = 1,
    batch_size: int = 128,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    parts = [kept, adversarial(model, *forgotten, radius, attack_steps, batch_size), *([forgotten] * with_forget)]
    images, labels = (torch.cat(group) for group in zip(*parts, strict=True))
    optimizer = sgd(model.parameters(), lr, weight_decay)
    schedule = StepLR(optimizer, decay_epochs, gamma=0.1)
    batches = Batches(images, labels, batch_size=batch_size)
    model.train()
    for _ in range(epochs):
        train_epoch(cross_entropy(model), batches, optimizer)
        schedule.step()
    return model


def adversarial(
    model: nn.Module, images: Tensor, labels: Tensor, radius: float, steps: int, batch_size: int
) -> tuple[Tensor, Tensor]:
    """The images for which an attack succeeds, as attacked, and the wrong labels that the model in eval mode gives."""
    black, white = images.amin((0, 2, 3), keepdim=True), images.amax((0, 2, 3), keepdim=True)
    span = torch.where(white > black, white - black, 1)
    model.eval().requires_grad_(False)
    attacked = []
    parts = max(1, len(labels) // batch_size)
    for x, y in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
        pixels = (x - black) / span
        attacked.append(attack(lambda z: model(black + z * span), pixels, y, radius, steps) * span + black)
    found = torch.cat(attacked)
    with torch.no_grad():
        answers = torch.cat([model(x).argmax(1) for x in found.split(batch_size)])
    model.requires_grad_(True)
    return found[answers != labels], answers[answers != labels]


def attack(answer: Any, pixels: Tensor, labels: Tensor, radius: float, steps: int) -> Tensor:
    """Images [n, c, h, w] within [0, 1], each moved until ``answer`` is wrong; those moved in vain lie at the last."""
    moved, still = pixels.clone(), torch.arange(len(labels), device=labels.device)
    for doubling in range(ROUNDS):
        ball = radius * 2**doubling
        for _ in range(steps):
            x = moved[still].requires_grad_(True)
            logits = answer(x)
            (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels[still], reduction="sum"), x)
            right = logits.argmax(1) == labels[still]
            still, x, slope = still[right], x.detach()[right], slope[right]
            if not len(still):
                return moved
            shift = x + ball / 10 * unit(slope) - pixels[still]
            shift *= (ball / length(shift)).clamp(max=1)
            moved[still] = (pixels[still] + shift).clamp(0, 1)
    return moved


def length(images: Tensor) -> Tensor:
    """L2 norm of each image, [n, 1, 1, 1]."""
    return torch.linalg.vector_norm(images, dim=(1, 2, 3), keepdim=True)


def unit(images: Tensor) -> Tensor:
    """Each image over its L2 norm; one of zeros stays."""
    return images / length(images).clamp(min=torch.finfo(images.dtype).tiny)
