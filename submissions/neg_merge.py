# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "NegMerge"
# authors = "H. S. Kim, D. Han, J. Choe"
# paper = "https://arxiv.org/abs/2410.05583"
# licence = "Apache-2.0"
# ///
"""NegMerge: subtract what several fine-tunings on the forget set agree about, weight by weight.

Kim, Han and Choe 2025, "NegMerge: Sign-Consensual Weight Merging for Machine Unlearning", arXiv:2410.05583.

Idea: task arithmetic. Train the original further on F with various hyper-parameters; each result has a task vector τ =
θ_F − θ. Average those entries on whose sign all of them agree, set the others to 0, and return θ − ``scale``·τ̄.
Reads: F. Cost: ``models`` · ``epochs`` passes over F.
Decisions: an entry that is 0 in any vector agrees with nothing, as in the authors' code. The fine-tunings differ in
their rates, spread evenly on a logarithmic scale from ``lr`` / ``spread`` to ``lr``, and in the order of the batches;
the authors merge what their own search over rates and augmentations happens to leave. Weight decay is 0, since it pulls
all fine-tunings the same way, and the consensus would be about decay. Vectors are of parameters alone, and buffers stay
those of the original. The authors choose ``scale`` from 0 to 1 on validation data, where the accuracy elsewhere keeps
95 %; here it is a hyper-parameter.
Defaults: ``scale`` is the upper end of the authors' range, the others are ours. Their code
(github.com/naver-ai/negmerge) covers CLIP alone, at settings for it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "scale": ("log", 0.05, 20.0),
    "models": ("int", 2, 10),
    "spread": ("log", 1.0, 100.0),
    "lr": ("rate", 1e-5, 1.0),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    scale: float = 1.0,
    models: int = 5,
    spread: float = 10.0,
    epochs: int = 5,
    batch_size: int = 64,
    lr: float = 0.01,
) -> nn.Module:
    batches = rebatch(forget, batch_size)
    original = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merged: dict[str, Tensor] = {}
    for k in range(models):
        model.load_state_dict(original)
        tune(model, batches, epochs, lr / spread ** (k / max(1, models - 1)))
        for name, weight in model.named_parameters():
            vector = weight.detach() - original[name]
            merged[name] = agreed(merged[name], vector) if k else vector
    model.load_state_dict(original)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.sub_(merged[name], alpha=scale / models)
    return model


def agreed(total: Tensor, vector: Tensor) -> Tensor:
    """Sum of both where they have the same sign, else 0, which no later vector's sign equals unless it is 0, too."""
    return torch.where(total.sign() == vector.sign(), total + vector, 0)


def tune(model: nn.Module, batches: Batches, epochs: int, lr: float) -> None:
    """Train on the batches in train mode."""
    model.train()
    optimizer = sgd(model.parameters(), lr)
    for _ in range(epochs):
        train_epoch(cross_entropy(model), batches, optimizer)
