"""Loops that unlearning methods share; every submission may ``from sandbox.toolkit import …``.

Public and stable, described for participants in ``submissions/README.md``. They need only torch. The loops run on
tensors that already lie on the model's device and do not wait for it (no ``.item()``, except in ``finite``), so they
cost what the arithmetic costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from .inside.adapter import NotApplicable as NotApplicable
from .inside.adapter import Withheld as Withheld
from .inside.augmentation import crop_boxes, moved, resized_crops
from .inside.layers import Classifier as Classifier
from .inside.layers import head as head
from .inside.layers import last_layers as last_layers
from .inside.layers import reinitialise as reinitialise
from .inside.randaugment import choices, randaugmented
from .inside.recipe import Schedule, recipe_optimizer, recipe_schedule
from .inside.sample_gradients import differentiable_eval as differentiable_eval
from .inside.sample_gradients import sample_gradients as sample_gradients

Objective = Callable[..., Tensor]
"""Maps one batch, ``objective(*batch)``, to the scalar that training decreases."""


# Data


def tensors(loader: DataLoader[Any]) -> tuple[Tensor, Tensor]:
    """Return all images [n, c, h, w] and labels [n] of one pass over a loader, on the device of its batches."""
    images, labels = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(labels)


class Batches:
    """Mini-batches of tensors [n, …] of equal length; each iteration draws a new order from torch's generator.

    The n samples are spread evenly over ⌈n / batch_size⌉ batches instead of leaving the rest to the last one: a last
    batch of a few samples ruins batch-norm statistics, and a single sample fails on 1×1 feature maps. So no batch has
    fewer than two samples (unless n is 1).
    """

    def __init__(self, *data: Tensor, batch_size: int, transform: Callable[[Tensor], Tensor] | None = None) -> None:
        """``transform`` is applied to the first tensor of every batch (for :func:`augment`)."""
        n = len(data[0])
        self.data = data
        self.count = max(1, min(math.ceil(n / batch_size), n // 2))
        self.transform = transform

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = torch.randperm(len(self.data[0]), device=self.data[0].device)
        for index in order.tensor_split(self.count):
            first, *rest = (tensor[index] for tensor in self.data)
            yield (first if self.transform is None else self.transform(first), *rest)


def rebatch(loader: DataLoader[Any], batch_size: int) -> Batches:
    """Return (images, labels) batches of a loader's data with another batch size; see :class:`Batches`."""
    return Batches(*tensors(loader), batch_size=batch_size)


def forever(batches: Iterable[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
    """Yield the batches again and again, shuffled anew each time, for ``zip`` with a longer set."""
    while True:
        yield from batches


def augment(
    images: Tensor,
    crop: int = 0,
    flip: bool = False,
    fill: float | Tensor = 0,
    *,
    random_resized_crop: float = 0.0,
    randaugment: int = 0,
    white: float | Tensor = 1,
) -> Tensor:
    """Crop images at random, flip them at random and apply RandAugment, drawn per image, on the images' device.

    Args:
        images: [n, c, h, w], of any dtype; left unchanged.
        crop: padding in pixels on every side; 0 means none.
        flip: whether each image is mirrored with probability ½.
        fill: value of the padding, a number or a tensor that broadcasts to [n, c, h, w], such as black.
        random_resized_crop: least share of the area that is cut out and enlarged (Szegedy et al. 2015); 0 means none.
        randaugment: magnitude 1 … 30 of two operations per image (Cubuk et al. 2020), which take ``fill`` for black; 0
            means none.
        white: as ``fill``, the largest value of an image; read by RandAugment only.
    """
    n, device = len(images), images.device
    mirrored = torch.rand(n, 1, device=device) < 0.5 if flip else None
    down, right = (torch.randint(-crop, crop + 1, (n, 1), device=device) if crop else None for _ in range(2))
    if crop or flip or not (random_resized_crop or randaugment):
        images = moved(images, torch.arange(n, device=device), down, right, mirrored, fill)
    if random_resized_crop:
        images = resized_crops(images, crop_boxes(n, images.shape[2], images.shape[3], random_resized_crop).to(device))
    if randaugment:
        scaled = ((images - fill) / (white - fill) * 255).round().clamp(0, 255).to(torch.uint8)
        changed = randaugmented(scaled, choices(n).to(device), randaugment)
        images = changed.to(images.dtype) / 255 * (white - fill) + fill
    return images


# Training


def sgd(
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, weight_decay: float = 0.0, momentum: float = 0.9
) -> torch.optim.SGD:
    """Return SGD in its fused form: one kernel per step instead of several per tensor."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def cross_entropy(model: nn.Module, label_smoothing: float = 0.0, mixup: float = 0.0) -> Objective:
    """Return the objective of plain training: mean cross-entropy of ``model`` on a batch of (images, labels).

    Args:
        model: gives the logits.
        label_smoothing: the part of each target that is spread evenly over all classes (Szegedy et al. 2016).
        mixup: images and targets are mixed with those of the sample before, in a share that is drawn for each batch
            from Beta(mixup, mixup) (Zhang et al. 2018); 0 means not.
    """
    loss = partial(F.cross_entropy, label_smoothing=label_smoothing)
    if not mixup:
        return lambda images, labels: loss(model(images), labels)
    shares = torch.distributions.Beta(mixup, mixup)

    def mixed(images: Tensor, labels: Tensor) -> Tensor:
        share = float(shares.sample())
        logits = model(share * images + (1 - share) * images.roll(1, 0))
        return share * loss(logits, labels) + (1 - share) * loss(logits, labels.roll(1, 0))

    return mixed


def train_epoch(
    objective: Objective,
    batches: Iterable[tuple[Any, ...]],
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler | None = None,
    before_step: Callable[[], None] | None = None,
) -> None:
    """Take one optimizer step on ``objective(*batch)`` per batch.

    Args:
        schedule: stepped after every batch.
        before_step: called between the backward pass and the step, to change gradients.
    """
    for batch in batches:
        optimizer.zero_grad()
        objective(*batch).backward()
        if before_step is not None:
            before_step()
        optimizer.step()
        if schedule is not None:
            schedule.step()


def fit(
    model: nn.Module,
    batches: Batches,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    momentum: float = 0.9,
    schedule: Schedule = "cosine",
    clip: float | None = None,
    optimizer: Literal["sgd", "adamw"] = "sgd",
    nesterov: bool = False,
    warmup: float = 0.0,
    label_smoothing: float = 0.0,
    mixup: float = 0.0,
) -> nn.Module:
    """Train ``model`` by cross-entropy on (images, labels) batches, all of it in train mode; return it.

    Parameters that require no gradient stay as they are. ``clip`` is the largest norm that the gradient of all others
    together may have; a longer one is shortened to it. The other settings are those of :func:`recipe_optimizer`,
    :func:`recipe_schedule` and :func:`cross_entropy`.
    """
    model.train()
    steps = recipe_optimizer(model.parameters(), optimizer, lr, weight_decay, momentum, nesterov)
    rate = recipe_schedule(steps, schedule, lr, epochs, len(batches), warmup)
    objective = cross_entropy(model, label_smoothing, mixup)
    before_step = None if clip is None else partial(_clip_gradients, model, clip)
    for _ in range(epochs):
        train_epoch(objective, batches, steps, rate, before_step)
    return model


@torch.no_grad()
def _clip_gradients(model: nn.Module, longest: float) -> None:
    """Shorten the gradient of all parameters together to the norm ``longest`` where it is longer."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack(torch._foreach_norm(gradients)).norm()
    torch._foreach_mul_(gradients, (longest / norm).clamp(max=1))


def divergence(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(teacher ‖ student) in nats of logits [n, C] divided by the temperature, as mean over the n samples."""
    teacher_log, student_log = ((logits / temperature).log_softmax(1) for logits in (teacher, student))
    return F.kl_div(student_log, teacher_log, reduction="batchmean", log_target=True)


# Models


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Return logits [n, C] in eval mode, in the order of the images [n, …]; the model is left in eval mode."""
    model.eval()
    return torch.cat([model(part) for part in images.split(batch_size)])


def finite(model: nn.Module, *more: Tensor) -> bool:
    """Return whether the state of ``model`` and further tensors are finite; this waits for the device once."""
    checked = [*model.state_dict().values(), *more]
    return bool(torch.stack([tensor.isfinite().all() for tensor in checked]).all())
