# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "L1-sparse"
# authors = "J. Jia, J. Liu, P. Ram, Y. Yao, G. Liu, Y. Liu, P. Sharma, S. Liu"
# paper = "https://arxiv.org/abs/2304.04934"
# licence = "Apache-2.0"
# ///
"""L1-sparse fine-tuning: train on the retain set with a penalty on the size of every weight that fades away.

Jia, Liu, Ram, Yao, Liu, Liu, Sharma and Liu 2023, "Model Sparsity Can Simplify Machine Unlearning", arXiv:2304.04934,
equation (4).

Idea: a sparse network has less room for what only F needed. SGD at a constant rate on CE(R) + γ‖θ‖₁, where γ falls
linearly, epoch by epoch, from ``gamma`` towards 0 within the penalised epochs.
Reads: R. Cost: ``epochs`` passes over R.
Decisions: the penalty takes in every parameter, those of normalisation too, as in the authors' code. It is on for the
epochs before the share ``unpenalised`` of all, at least for one. The authors' rate falls at epochs 91 and 136 alone,
which unlearning never reaches.
Defaults: from the authors' code (github.com/OPTML-Group/Unlearn-Sparse), ``lr`` and ``epochs`` from its example, the
others from its argument parser. Its example leaves γ open; 5e-4 is what the code of AMUN's authors takes for this
method (github.com/Ali-E/AMUN).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "gamma": ("log", 1e-6, 1e-2),
    "unpenalised": ("uniform", 0.0, 0.8),
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
    gamma: float = 5e-4,
    unpenalised: float = 0.0,
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> nn.Module:
    batches = rebatch(retain, batch_size)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    error = cross_entropy(model)
    penalised = max(1, round((1 - unpenalised) * epochs))

    def sparse(weight: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, y: error(x, y) + weight * torch.stack([p.norm(1) for p in model.parameters()]).sum()

    model.train()
    for epoch in range(epochs):
        train_epoch(sparse(gamma * (1 - epoch / penalised)) if epoch < penalised else error, batches, optimizer)
    return model
