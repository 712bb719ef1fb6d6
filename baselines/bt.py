# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "BT"
# authors = "V. S. Chundawat, A. K. Tarun, M. Mandal, M. Kankanhalli"
# paper = "https://arxiv.org/abs/2205.08096"
# licence = "Apache-2.0"
# ///
"""Bad teacher: imitate the original on the retain set and an untrained network on the forget set.

Chundawat, Tarun, Mandal and Kankanhalli 2023, "Can Bad Teaching Induce Forgetting?", arXiv:2205.08096;
Deep Unlearn, section 3.2.

Idea: an untrained network knows nothing about F, so its answers are what to say there. Adam on KL(teacher ‖ student)
with both softmaxes at ``temperature``, over one shuffled stream of F and the share ``retain_share`` of R, drawn once.
Reads: R and F. Cost: ``epochs`` passes over F and that share of R, and one over both for the teachers' answers.
Decisions: the bad teacher is a copy of the model with newly drawn weights, so it has the same architecture. Both
teachers answer in eval mode and nothing is augmented, so every sample is asked about once, before the training. The KL
is averaged over samples and classes, as in the authors' code. Adam's steps do not heed that scale, but the weight
decay, which is added to the gradient, does: beside a KL that is summed over the C classes it would weigh C times less.
Defaults: all from the authors' notebook (github.com/vikram2000b/bad-teaching-unlearning,
``CIFARSuper20_Rocket_Unlearn.ipynb``). Deep Unlearn takes all of R, and 10 epochs at a rate of .01, the defaults of a
function that the notebook calls with other values.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, divergence, predict, reinitialise, tensors, train_epoch

SEARCH_SPACE = {
    "temperature": ("uniform", 0.1, 5.0),
    "retain_share": ("log", 0.1, 1.0),
    "lr": ("rate", 1e-5, 1e-1),
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
    temperature: float = 1.0,
    retain_share: float = 0.3,
    epochs: int = 1,
    batch_size: int = 256,
    lr: float = 1e-4,
    weight_decay: float = 0.0,
) -> nn.Module:
    kept, forgotten = tensors(retain)[0], tensors(forget)[0]
    drawn = torch.randperm(len(kept), device=kept.device)
    kept = kept[drawn[: math.ceil(retain_share * len(kept))]]
    bad = reinitialise(copy.deepcopy(model))
    answers = torch.cat([predict(model, kept), predict(bad, forgotten)])
    stream = Batches(torch.cat([kept, forgotten]), answers, batch_size=batch_size)

    def imitate(images: Tensor, teacher: Tensor) -> Tensor:
        return divergence(model(images), teacher, temperature) / teacher.shape[1]

    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    model.train()
    for _ in range(epochs):
        train_epoch(imitate, stream, optimizer)
    return model
