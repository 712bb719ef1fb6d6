"""The data loaders that an entry gets: real ``DataLoader``s whose batches come from tensors on the device.

Images stay uint8 in memory (four times smaller than what an entry sees) and are normalised per batch. What the track's
access tier withholds is not in the data; the objects in its place say so to whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .adapter import Withheld

NAMES = {"retain": "retain set", "forget": "forget set", "val": "validation set"}
WITHHELD_IMAGES = (
    "this track's access tier withholds the images of the forget set, which the method reads; their labels are "
    "batch.label and forget.dataset.labels"
)


class Sample(NamedTuple):
    """One example, or one batch of them; also answers ``["image"]``, ``["label"]`` and ``["age_group"]`` (2023)."""

    image: Tensor
    """float32 [c, h, w], or [batch, c, h, w]."""
    label: Any
    """An integer, or of a batch int64 [batch]."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            try:
                return tuple.__getitem__(self, {"image": 0, "label": 1, "age_group": 1}[key])
            except KeyError:
                raise KeyError(f"{key!r}: a sample has 'image' and 'label' (also called 'age_group')") from None
        return tuple.__getitem__(self, key)


def number(label: Tensor) -> Any:
    """Return one label as an integer, and several as they are."""
    return label.item() if label.ndim == 0 else label


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Map uint8 [n, c, h, w] to float32 ``(x / 255 − mean) / std``; ``mean`` and ``std`` are [channels, 1, 1].

    Grey images (c = 1) are repeated to the model's number of channels.
    """
    scaled = images.to(torch.float32).div_(255)
    if scaled.shape[1] != mean.shape[0]:
        scaled = scaled.expand(-1, mean.shape[0], -1, -1).contiguous()
    return scaled.sub_(mean).div_(std)


class Labelled:
    """What entries read or set of torchvision's data sets: ``targets``, ``classes``, ``dataset``, ``indices``.

    An assignment counts from the next iteration of the loader on; an array changed in place counts on the CPU only.
    """

    labels: Tensor

    @property
    def targets(self) -> NDArray[np.int64]:
        """The labels [n], in the memory of ``labels``."""
        return self.labels.numpy()

    @targets.setter
    def targets(self, values: Any) -> None:
        self.labels = torch.as_tensor(values, dtype=torch.int64)

    @property
    def classes(self) -> list[str]:
        """The names of the classes up to the largest label: their numbers."""
        return [str(number) for number in range(int(self.labels.max()) + 1)] if len(self.labels) else []

    @property
    def dataset(self) -> Self:
        """This data set, as of a ``Subset`` that has all its examples."""
        return self

    @property
    def indices(self) -> range:
        """The positions in ``dataset``."""
        return range(len(self.labels))

    def __len__(self) -> int:
        return len(self.labels)


class Samples(Labelled, Dataset[Sample], Sequence[Sample]):
    """Map-style data set of CPU tensors, also usable in any other ``DataLoader``, with or without workers."""

    def __init__(self, images: Tensor, labels: Tensor, mean: Tensor, std: Tensor) -> None:
        self.images, self.labels, self.mean, self.std = images, labels, mean, std

    @property
    def data(self) -> NDArray[np.uint8]:
        """The images [n, h, w, c] before normalisation, in the memory of ``images``."""
        return self.images.permute(0, 2, 3, 1).numpy()

    @data.setter
    def data(self, values: Any) -> None:
        self.images = torch.as_tensor(values, dtype=torch.uint8).permute(0, 3, 1, 2)

    @property
    def stored(self) -> tuple[Tensor, ...]:
        """The tensors that a loader copies to its device."""
        return self.images, self.labels

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        image = normalise(self.images[index][None], self.mean, self.std)[0]
        return Sample(image, number(self.labels[index]))

    def on(self, device: torch.device) -> Samples:
        """Return the same samples as tensors of a device."""
        return Samples(*(tensor.to(device) for tensor in (self.images, self.labels, self.mean, self.std)))

    def batch(self, index: Tensor) -> Sample:
        """Return the samples of these indices [batch] as one batch."""
        return Sample(normalise(self.images[index], self.mean, self.std), self.labels[index])


class LabelSample(Sequence[Any]):
    """A :class:`Sample`, or a batch of them, without its image: ``label``, ``["label"]`` and ``[1]`` answer.

    Whatever reads the image, unpacking included, raises ``Withheld``.
    """

    def __init__(self, label: Any) -> None:
        self.label = label

    @property
    def image(self) -> NoReturn:
        """Not there: the track withholds it."""
        raise Withheld(WITHHELD_IMAGES)

    def __len__(self) -> int:
        return len(Sample._fields)

    def __getitem__(self, key: Any) -> Any:
        if key in ("label", "age_group", 1, -1):
            return self.label
        if isinstance(key, str) and key != "image":
            raise KeyError(f"{key!r}: a sample has 'label' (also called 'age_group'), and this track withholds 'image'")
        raise Withheld(WITHHELD_IMAGES)


class LabelledOnly(Labelled, Dataset[LabelSample], Sequence[LabelSample]):
    """Data set of labels, int64 [n] on the CPU, whose images the track withholds."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    @property
    def images(self) -> NoReturn:
        """Not there: the track withholds them."""
        raise Withheld(WITHHELD_IMAGES)

    data = images

    @property
    def stored(self) -> tuple[Tensor, ...]:
        """The tensors that a loader copies to its device."""
        return (self.labels,)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return LabelSample(number(self.labels[index]))

    def on(self, device: torch.device) -> LabelledOnly:
        """Return the same labels as a tensor of a device."""
        return LabelledOnly(self.labels.to(device))

    def batch(self, index: Tensor) -> LabelSample:
        """Return the labels of these indices [batch] as one batch."""
        return LabelSample(self.labels[index])


class ResidentLoader(DataLoader[Any]):
    """A ``DataLoader`` that indexes tensors on ``device`` batch-wise; ``generator`` shuffles, anew in each epoch."""

    def __init__(
        self,
        dataset: Samples | LabelledOnly,
        batch_size: int,
        device: torch.device,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(dataset, batch_size=batch_size, shuffle=generator is not None, generator=generator)
        self._device = device
        self._stored, self._resident = dataset.stored, dataset.on(device)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        stored = self.dataset.stored  # type: ignore[attr-defined]
        if any(now is not before for now, before in zip(stored, self._stored, strict=True)):  # the entry set others
            self._stored, self._resident = stored, self.dataset.on(self._device)  # type: ignore[attr-defined]
        count = len(self._resident)
        order = torch.arange(count) if self.generator is None else torch.randperm(count, generator=self.generator)
        return self._batches(order.to(self._resident.labels.device))

    def _batches(self, order: Tensor) -> Iterator[Any]:
        for index in order.split(self.batch_size or 1):
            yield self._resident.batch(index)


class WithheldLoader:
    """Stands in place of the loader of a set that the track withholds: whatever is read from it raises ``Withheld``."""

    def __init__(self, part: str) -> None:
        self._part = part

    def __iter__(self) -> NoReturn:
        self._refuse()

    def __len__(self) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # Python's own questions, such as those of copy and pickle
            raise AttributeError(name)
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Withheld(f"this track's access tier withholds the {NAMES[self._part]}, which the method reads")


def make_loaders(
    data: Mapping[str, Tensor],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    channels: int,
    batch_size: int,
    seed: int,
    device: str | torch.device,
) -> tuple[Any, Any, Any]:
    """Return loaders of the retain, forget and validation set.

    ``data`` holds ``{retain,forget,val}_images`` uint8 [n, c, h, w] and ``…_labels`` int64 [n] on the CPU; images are
    normalised with ``mean`` and ``std`` of images scaled to [0, 1], grey ones repeated to ``channels``. Retain and
    forget set are shuffled, each by a generator of its own from ``seed``; the validation set keeps its order. All
    examples are used. Of a set without images the batches are :class:`LabelSample`; in place of one without labels
    there is a :class:`WithheldLoader`.
    """
    shape = (channels, 1, 1)
    centre = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1).expand(shape).contiguous()
    scale = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1).expand(shape).contiguous()
    streams = np.random.SeedSequence(seed).spawn(2)
    retain, forget = (torch.Generator().manual_seed(int(s.generate_state(1, np.uint64)[0] >> 1)) for s in streams)

    def loader(name: str, generator: torch.Generator | None) -> ResidentLoader | WithheldLoader:
        images, labels = data.get(f"{name}_images"), data.get(f"{name}_labels")
        if labels is None:
            return WithheldLoader(name)
        samples = LabelledOnly(labels) if images is None else Samples(images, labels, centre, scale)
        return ResidentLoader(samples, batch_size, torch.device(device), generator)

    return loader("retain", retain), loader("forget", forget), loader("val", None)
