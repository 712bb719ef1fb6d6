# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "Retrain"
# authors = "unlearn-bench"
# paper = "https://arxiv.org/abs/2410.01276"
# licence = "Apache-2.0"
# kind = "reference"
# ///
"""Reference row: train a new model on the retain set with the recipe of the original.

Deep Unlearn, section 2: the model that unlearning must match, and the time it must beat (the numerator of RTE).

Idea: re-initialise every parameter, then train as the original was trained, on R alone. The defaults are the recipe of
the digits tracks; a track passes its own.
Reads: R. Cost: ``epochs`` passes over R.
Decision: padding of the random crop is black, taken as the least value of each channel since images come normalised;
RandAugment's white is the largest.
"""

from functools import partial
from typing import Any, Literal

from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, augment, fit, reinitialise, tensors


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 0.2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    schedule: Literal["one-cycle", "cosine"] = "one-cycle",
    crop: int = 0,
    flip: bool = False,
    optimizer: Literal["sgd", "adamw"] = "sgd",
    nesterov: bool = False,
    warmup: float = 0.0,
    label_smoothing: float = 0.0,
    clip: float | None = None,
    random_resized_crop: float = 0.0,
    randaugment: int = 0,
    mixup: float = 0.0,
) -> nn.Module:
    reinitialise(model)
    images, labels = tensors(retain)
    transform = None
    if crop or flip or random_resized_crop or randaugment:
        black, white = (images.amin(dim=(0, 2, 3), keepdim=True), images.amax(dim=(0, 2, 3), keepdim=True))
        transform = partial(
            augment,
            crop=crop,
            flip=flip,
            fill=black,
            random_resized_crop=random_resized_crop,
            randaugment=randaugment,
            white=white,
        )
    batches = Batches(images, labels, batch_size=batch_size, transform=transform)
    return fit(
        model,
        batches,
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        momentum=momentum,
        schedule=schedule,
        clip=clip,
        optimizer=optimizer,
        nesterov=nesterov,
        warmup=warmup,
        label_smoothing=label_smoothing,
        mixup=mixup,
    )
