# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "PRMQ"
# authors = "4th place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/459148"
# licence = "Apache-2.0"
# ///
"""Prune, reinitialise, match, quantise: re-draw the smallest weights, then match labels and entropies on R.

4th place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/459148; Deep Unlearn, section 3.2.

Idea: the weights that global L1 pruning would remove are re-drawn. SGD at a constant rate on R: class-weighted
cross-entropy + mean squared difference between the entropies of the model's and of the original's outputs. In the end
the state is rounded to half precision.
Reads: R. Cost: ``epochs`` passes over R and one for inference.
Decisions: ``epochs`` is real, int(epochs · batches) steps; the competition's code stops one step later. Pruning ranks
the weights and biases of all Conv2d and Linear layers together; pruned weights are drawn from U(±1/√fan_in), pruned
biases are 0, and all are trained on. Class weights are n_c^−0.1, 0 for a class that R lacks. The entropies of the
original are those in eval mode, computed once, as there is no augmentation. Batch-norm statistics are rounded too; what
exceeds the range of half precision becomes its largest number.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it.
"""

from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, forever, head, predict, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "prune_amount": ("1-log", 1e-3, 0.9),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("uniform", 1.0, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    prune_amount: float = 0.99,
    epochs: float = 3.2,
    batch_size: int = 64,
    lr: float = 5e-4,
    weight_decay: float = 5e-4,
) -> nn.Module:
    images, labels = tensors(retain)
    entropies = entropy(predict(model, images))
    weights = class_weights(labels, head(model).out_features)

    def mismatch(images: Tensor, labels: Tensor, entropies: Tensor) -> Tensor:
        logits = model(images)
        return F.cross_entropy(logits, labels, weights) + F.mse_loss(entropy(logits), entropies)

    redraw_smallest(model, prune_amount)
    model.train()
    batches = Batches(images, labels, entropies, batch_size=batch_size)
    steps = int(epochs * len(batches))
    train_epoch(mismatch, islice(forever(batches), steps), sgd(model.parameters(), lr, weight_decay))
    round_to_half(model)
    return model


@torch.no_grad()
def redraw_smallest(model: nn.Module, share: float) -> None:
    """Re-draw the share of least magnitude of all Conv2d and Linear layers, weights from U(±1/√fan_in), biases as 0."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    ranked = [p for layer in layers for p in layer.parameters()]
    magnitudes = torch.cat([p.abs().flatten() for p in ranked])
    smallest = magnitudes.topk(round(share * len(magnitudes)), largest=False, sorted=False).indices
    pruned = torch.zeros_like(magnitudes, dtype=torch.bool).index_fill_(0, smallest, True)
    for p, mask in zip(ranked, pruned.split([p.numel() for p in ranked]), strict=True):
        bound = p[0].numel() ** -0.5 if p.ndim > 1 else 0.0
        p.copy_(torch.where(mask.view_as(p), torch.empty_like(p).uniform_(-bound, bound), p))


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """n_c^−0.1, float32 [classes], of labels [n]; 0 for a class without samples."""
    counts = labels.bincount(minlength=classes)
    return torch.where(counts > 0, counts.clamp(min=1) ** -0.1, 0.0)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax in nats, [n], of logits [n, C]."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


@torch.no_grad()
def round_to_half(model: nn.Module) -> None:
    """Round the floating-point state in place to numbers that half precision has; its dtype stays."""
    largest = torch.finfo(torch.half).max
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.clamp(-largest, largest).half())
