# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "Retrain briefly"
# authors = "unlearn-bench"
# paper = ""
# licence = "Apache-2.0"
# ///
"""A control: train a new model on the retain set for a tenth of the epochs that Retrain has.

Nothing of the original is kept, so there is nothing to find of F; what the short training costs in accuracy is what any
method of the same time has to beat.

Reads: R. Cost: ``epochs`` passes over R.
Decisions: an entry does not know the recipe of its track. The defaults are a tenth of the epochs of the digits tracks,
whose one-cycle schedule is squeezed into the fewer epochs; elsewhere give the recipe with ``--set``. Batches are a
quarter of the recipe's: with those of 128 two epochs are 14 steps, after which digits are still answered by chance.
Defaults: ours.
"""

from functools import partial
from typing import Any, Literal

from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, augment, fit, reinitialise, tensors

SEARCH_SPACE = {
    "lr": ("rate", 1e-4, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (16, 32, 64, 128)),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    epochs: int = 2,
    batch_size: int = 32,
    lr: float = 0.1,
    weight_decay: float = 5e-4,
    schedule: Literal["one-cycle", "cosine"] = "one-cycle",
    crop: int = 0,
    flip: bool = False,
) -> nn.Module:
    images, labels = tensors(retain)
    black = images.amin((0, 2, 3), keepdim=True)
    transform = partial(augment, crop=crop, flip=flip, fill=black) if crop or flip else None
    batches = Batches(images, labels, batch_size=batch_size, transform=transform)
    return fit(reinitialise(model), batches, epochs=epochs, lr=lr, weight_decay=weight_decay, schedule=schedule)
