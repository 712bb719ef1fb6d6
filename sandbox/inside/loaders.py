"""The data loaders that an entry gets: real ``DataLoader``s whose batches come from tensors on the device.

Images stay uint8 in memory (four times smaller than what an entry sees) and are normalised per batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class Sample(NamedTuple):
    """One example, or one batch of them; also answers ``["image"]``, ``["label"]`` and ``["age_group"]`` (2023)."""

    image: Tensor
    """float32 [c, h, w], or [batch, c, h, w]."""
    label: Tensor
    """int64 [], or [batch]."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                return tuple.__getitem__(self, {"image": 0, "label": 1, "age_group": 1}[key])
            except KeyError:
                raise KeyError(f"{key!r}: a sample has 'image' and 'label' (also called 'age_group')") from None
        return tuple.__getitem__(self, key)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Map uint8 [n, c, h, w] to float32 ``(x / 255 − mean) / std``; ``mean`` and ``std`` are [channels, 1, 1].

    Grey images (c = 1) are repeated to the model's number of channels.
    """
    scaled = images.to(torch.float32).div_(255)
    if scaled.shape[1] != mean.shape[0]:
        scaled = scaled.expand(-1, mean.shape[0], -1, -1).contiguous()
    return scaled.sub_(mean).div_(std)


class Samples(Dataset[Sample]):
    """Map-style data set of CPU tensors, also usable in any other ``DataLoader``, with or without workers."""

    def __init__(self, images: Tensor, labels: Tensor, mean: Tensor, std: Tensor) -> None:
        self.images, self.labels, self.mean, self.std = images, labels, mean, std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Sample:
        image = normalise(self.images[index][None], self.mean, self.std)[0]
        return Sample(image, self.labels[index])


class ResidentLoader(DataLoader[Sample]):
    """A ``DataLoader`` that indexes tensors on ``device`` batch-wise; ``generator`` shuffles, anew in each epoch."""

    def __init__(
        self, dataset: Samples, batch_size: int, device: torch.device, generator: torch.Generator | None
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, shuffle=generator is not None, generator=generator)
        tensors = (dataset.images, dataset.labels, dataset.mean, dataset.std)
        self._images, self._labels, self._mean, self._std = (tensor.to(device) for tensor in tensors)

    def __iter__(self) -> Iterator[Sample]:  # type: ignore[override]
        count = len(self._labels)
        order = torch.arange(count) if self.generator is None else torch.randperm(count, generator=self.generator)
        return self._batches(order.to(self._labels.device))

    def _batches(self, order: Tensor) -> Iterator[Sample]:
        for index in order.split(self.batch_size or 1):
            yield Sample(normalise(self._images[index], self._mean, self._std), self._labels[index])


def make_loaders(
    data: Mapping[str, Tensor],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    channels: int,
    batch_size: int,
    seed: int,
    device: str | torch.device,
) -> tuple[ResidentLoader, ResidentLoader, ResidentLoader]:
    """Return loaders of the retain, forget and validation set.

    ``data`` holds ``{retain,forget,val}_images`` uint8 [n, c, h, w] and ``…_labels`` int64 [n] on the CPU; images are
    normalised with ``mean`` and ``std`` of images scaled to [0, 1], grey ones repeated to ``channels``. Retain and
    forget set are shuffled, each by a generator of its own from ``seed``; the validation set keeps its order. All
    examples are used.
    """
    shape = (channels, 1, 1)
    centre = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1).expand(shape).contiguous()
    scale = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1).expand(shape).contiguous()
    streams = np.random.SeedSequence(seed).spawn(2)
    retain, forget = (torch.Generator().manual_seed(int(s.generate_state(1, np.uint64)[0] >> 1)) for s in streams)

    def loader(name: str, generator: torch.Generator | None) -> ResidentLoader:
        samples = Samples(data[f"{name}_images"], data[f"{name}_labels"], centre, scale)
        return ResidentLoader(samples, batch_size, torch.device(device), generator)

    return loader("retain", retain), loader("forget", forget), loader("val", None)
