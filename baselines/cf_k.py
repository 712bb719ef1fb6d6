# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "CF-k"
# authors = "S. Goel, A. Prabhu, A. Sanyal, S.-N. Lim, P. Torr, P. Kumaraguru"
# paper = "https://arxiv.org/abs/2201.06640"
# licence = "Apache-2.0"
# ///
"""Catastrophic forgetting of the last k blocks: train only the last k stages and the classifier, on the retain set.

Goel, Prabhu, Sanyal, Lim, Torr and Kumaraguru 2022, "Towards Adversarial Evaluations for Inexact Machine Unlearning",
arXiv:2201.06640 (CF-k); Deep Unlearn, section 3.2.

Idea: the last layers memorise most, so fine-tune them alone. SGD on the cross-entropy of R plus (λ/2)‖θ − θ_start‖², λ
being ``penalty``; the rate is multiplied by ``decay`` at 50, 80 and 90 % of the epochs.
Reads: R. Cost: ``epochs`` passes over R, backwards through the last stages alone.
Decisions: stages by structure (``sandbox.toolkit.stages``), four in either architecture; all that follows them counts
as the classifier. What is frozen is in eval mode, so that its batch-norm statistics stay too. The penalty is the only
decay of weights.
"""

from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import fit_near_start, rebatch, train_last_stages

SEARCH_SPACE = {
    "k": ("int", 1, 4),
    "decay": ("uniform", 0.0, 1.0),
    "penalty": ("log", 1e-5, 1e-1),
    "lr": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    k: int = 1,
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.01,
    decay: float = 0.1,
    penalty: float = 0.1,
) -> nn.Module:
    parts = train_last_stages(model, k)
    batches = rebatch(retain, batch_size)
    return fit_near_start(model, parts, batches, epochs=epochs, lr=lr, decay=decay, penalty=penalty)
