# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "EU-k"
# authors = "S. Goel, A. Prabhu, A. Sanyal, S.-N. Lim, P. Torr, P. Kumaraguru"
# paper = "https://arxiv.org/abs/2201.06640"
# licence = "Apache-2.0"
# ///
"""Exact unlearning of the last k blocks: re-initialise the last k stages and the classifier, then train them alone.

Goel, Prabhu, Sanyal, Lim, Torr and Kumaraguru 2022, "Towards Adversarial Evaluations for Inexact Machine Unlearning",
arXiv:2201.06640 (EU-k); Deep Unlearn, section 3.2.

Idea: retrain the last layers, which memorise most, on frozen features. SGD on the cross-entropy of R plus
(λ/2)‖θ − θ_start‖², λ being ``penalty``; the rate is multiplied by ``decay`` at 50, 80 and 90 % of the epochs.
Reads: R. Cost: ``epochs`` passes over R, backwards through the last stages alone.
Decisions: weights are re-drawn rather than set back to those that the original started from, which an entry does not
know (as in Deep Unlearn); θ_start is what was drawn. The batch-norm statistics of these stages are reset and learned
anew in train mode, since activations explode under the old ones. Else as in CF-k: stages by structure, all that follows
them counts as the classifier, the rest is in eval mode.
"""

from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import fit_near_start, rebatch, reinitialise, train_last_stages

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
    parts = reinitialise(train_last_stages(model, k))
    batches = rebatch(retain, batch_size)
    return fit_near_start(model, parts, batches, epochs=epochs, lr=lr, decay=decay, penalty=penalty)
