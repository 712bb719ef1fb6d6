# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "KDE"
# authors = "6th place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/458740"
# licence = "Apache-2.0"
# ///
"""Knowledge distillation with entropy: renew the first and last layer, then distil the original on V and on R.

6th place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/458740; Deep Unlearn, section 3.2.

Idea: the original teaches a copy of itself whose first and last layer are fresh. SGD: ``warmup_epochs`` epochs over V
of KL(teacher ‖ student) at temperature T, constant rate; then ``epochs`` epochs over R of soft cross-entropy at T +
cross-entropy + KL at T, cosine per epoch.
Reads: R and V. Cost: ``epochs`` passes over R, ``warmup_epochs`` over V, and one over each for inference.
Decisions: first Conv2d and last Linear by position, so also on a transformer, where Deep Unlearn's code renews the last
alone; drawn from torch's default for such a layer, as the competition's code does. The teacher's logits are those in
eval mode, computed once, as there is no augmentation. The terms at T carry no factor T²; soft cross-entropy and KL
differ by the teacher's entropy, so together they pull twice as hard as one.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, divergence, head, predict, recipe_schedule, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "temperature": ("uniform", 0.1, 5.0),
    "warmup_lr": ("rate", 1e-5, 1.0),
    "warmup_weight_decay": ("log", 1e-5, 1e-1),
    "warmup_batch_size": ("choice", (64, 128, 256)),
    "warmup_epochs": ("int", 1, "max_epochs"),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    temperature: float = 5.0,
    warmup_epochs: int = 3,
    warmup_batch_size: int = 64,
    warmup_lr: float = 9e-4,
    warmup_weight_decay: float = 5e-4,
    epochs: int = 3,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 5e-4,
) -> nn.Module:
    unseen, retained = taught(model, val, warmup_batch_size), taught(model, retain, batch_size)

    def distil(images: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
        return divergence(model(images), teacher, temperature)

    def learn(images: Tensor, labels: Tensor, teacher: Tensor) -> Tensor:
        student = model(images)
        soft = F.cross_entropy(student / temperature, (teacher / temperature).softmax(1))
        return soft + F.cross_entropy(student, labels) + divergence(student, teacher, temperature)

    renew(model)
    model.train()
    optimizer = sgd(model.parameters(), warmup_lr, warmup_weight_decay)
    for _ in range(warmup_epochs):
        train_epoch(distil, unseen, optimizer)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    schedule = recipe_schedule(optimizer, "cosine", lr, epochs, len(retained))
    for _ in range(epochs):
        train_epoch(learn, retained, optimizer, schedule)
    return model


def taught(model: nn.Module, loader: DataLoader[Any], batch_size: int) -> Batches:
    """Batches of images, labels and the logits [n, C] that the model has for them in eval mode."""
    images, labels = tensors(loader)
    return Batches(images, labels, predict(model, images), batch_size=batch_size)


def renew(model: nn.Module) -> None:
    """Re-initialise the first Conv2d and the last Linear in place, as torch does by default."""
    first, *_ = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    first.reset_parameters()
    head(model).reset_parameters()
