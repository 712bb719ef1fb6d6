"""The peer of the benchmarks: training and evaluation as practitioners write them.

PIL images, torchvision's transforms, a ``DataLoader`` with workers, float32, default SGD, ``.item()`` at every step;
evaluation by a pass over a loader for every number. Same model, examples, batch size and schedule as ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.sandbox.toolkit import recipe_schedule

PLAIN_EVALUATION_BATCH = 256


class Pictures(Dataset[Any]):
    """PIL images and labels, as torchvision's data sets hand them out."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        mean: Sequence[float],
        std: Sequence[float],
        channels: int,
    ) -> None:
        self.images, self.labels = images.transpose(0, 2, 3, 1), labels
        grey = images.shape[1] == 1
        mean, std = ((*values, *values, *values) if grey and channels == 3 else values for values in (mean, std))
        self.grey = [transforms.Grayscale(3)] if grey and channels == 3 else []
        self.end = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        self.transform = transforms.Compose([*self.grey, *self.end])

    def augmented(self, recipe: Recipe) -> Pictures:
        steps = [transforms.RandomCrop(self.images.shape[1], recipe.crop)] if recipe.crop else []
        steps += [transforms.RandomHorizontalFlip()] if recipe.flip else []
        self.transform = transforms.Compose([*self.grey, *steps, *self.end])
        return self

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        return self.transform(Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)), int(
            self.labels[index]
        )


def train(
    model: nn.Module, pictures: Pictures, rows: NDArray[np.int64], recipe: Recipe, device: str, workers: int
) -> nn.Module:
    """Train a model on the examples ``rows``; like many such loops without a last batch that is not full.

    A last batch of a few samples (4 of 42,500 examples) would spoil the statistics of batch-norm.
    """
    loader = DataLoader(
        Subset(pictures.augmented(recipe), rows.tolist()),
        recipe.batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=device != "cpu",
        drop_last=True,
    )
    model.train().to(device)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    schedule = recipe_schedule(optimizer, recipe.schedule, recipe.lr, recipe.epochs, len(loader))
    for _ in range(recipe.epochs):
        total = right = 0.0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            logits = model(images)
            loss = cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            right += (logits.argmax(1) == labels).sum().item()
    return model


def evaluate(
    model: nn.Module, pictures: Pictures, parts: Sequence[NDArray[np.int64]], device: str, workers: int
) -> None:
    """Accuracy and losses of every part, a pass each, with gradients still on."""
    model.eval().to(device)
    for rows in parts:
        loader = DataLoader(Subset(pictures, rows.tolist()), PLAIN_EVALUATION_BATCH, num_workers=workers)
        right = 0
        for images, labels in loader:
            right += (model(images.to(device)).argmax(1) == labels.to(device)).sum().item()
        losses = []
        for images, labels in loader:
            each = cross_entropy(model(images.to(device)), labels.to(device), reduction="none")
            losses.append(each.detach().cpu().numpy())
        np.concatenate(losses)
