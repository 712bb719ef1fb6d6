"""Loops that unlearning methods share; every submission may ``from sandbox.toolkit import …``.

Public and stable, described for participants in ``submissions/README.md``. They need only torch. The loops run on
tensors that already lie on the model's device and do not wait for it (no ``.item()``, except in ``finite``), so they
cost what the arithmetic costs.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from .inside.adapter import NotApplicable as NotApplicable
from .inside.adapter import Withheld as Withheld
from .inside.augmentation import crop_boxes, moved, resized_crops
from .inside.randaugment import choices, randaugmented
from .inside.recipe import Schedule, recipe_optimizer, recipe_schedule

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


class Classifier(Protocol):
    """A layer of a model that gives the logits."""

    weight: Tensor
    """[classes, features], of a convolution [classes, features, 1, 1]."""

    @property
    def out_features(self) -> int:
        """Number of classes, also of those without labels."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weight and the bias, if there is one."""

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as torch does by default."""


def head(model: nn.Module) -> Classifier:
    """Return the classifier: the last linear layer or, in a network without any, the last convolution if it is 1×1.

    Such a convolution, as SqueezeNet and timm's ResNetV2 have, is the linear layer at every position.

    Raises:
        NotApplicable: the network has neither.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if linear:
        return linear[-1]
    *_, last = [None, *(module for module in model.modules() if isinstance(module, nn.Conv2d))]
    if last is None or last.kernel_size != (1, 1):
        raise NotApplicable("the network has no linear layer or 1×1 convolution as its classifier")
    last.out_features = last.out_channels  # type: ignore[assignment]
    return cast(Classifier, last)


def finite(model: nn.Module, *more: Tensor) -> bool:
    """Return whether the state of ``model`` and further tensors are finite; this waits for the device once."""
    checked = [*model.state_dict().values(), *more]
    return bool(torch.stack([tensor.isfinite().all() for tensor in checked]).all())


@torch.no_grad()
def reinitialise(model: nn.Module) -> nn.Module:
    """Re-draw all parameters from the distribution a freshly built model has, and reset batch-norm statistics.

    A network of torchvision, of timm or of a track's own file is built again, as the benchmark built it. The
    benchmark's own architectures, and models from elsewhere, follow a rule by module type: residual networks (no layer
    norm) have Kaiming-normal convolutions (fan-out, He et al. 2015); transformers (layer norm) have truncated-normal
    linear layers (σ = 0.02, bias 0), zero attention biases and, in TinyViT's MBConv blocks, a zero last scale.
    Everything else follows torch's own ``reset_parameters``.
    It works in place and returns the model.

    Raises:
        NotApplicable: the rule does not know how a module with parameters is initialised.
    """
    build_again = getattr(model, "build_again", None)
    if build_again is not None:
        model.load_state_dict(build_again().state_dict())
        return model
    modules: list[Any] = list(model.modules())
    transformer = any(isinstance(module, nn.LayerNorm) for module in modules)
    for module in modules:
        if hasattr(module, "attention_biases"):
            nn.init.zeros_(module.attention_biases)
            module.train(module.training)  # drops the copy that TinyViT caches in eval mode
        elif hasattr(module, "reset_parameters"):
            module.reset_parameters()
        elif any(True for _ in module.parameters(recurse=False)):
            raise NotApplicable(f"it is not known how a new {type(module).__name__} is initialised")
        if isinstance(module, nn.Conv2d) and not transformer:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and transformer:
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in modules:
        if type(module).__name__ == "MBConv":  # after its batch norm has been reset
            nn.init.zeros_(module.conv3.bn.weight)
    return model


def last_layers(model: nn.Module, share: float) -> nn.ModuleList:
    """Return the modules that make up the last ``share`` of a model's layers; at least one layer, and never the first.

    Layers are convolutions and linear maps, in the order in which the model registered them, so the classifier is the
    last one (as Goel et al. 2022 count, CF-k and EU-k). What is registered after the first of the returned layers
    belongs to them: their normalisation, and a transformer's attention biases.
    """
    modules = list(model.modules())
    layers = [i for i, module in enumerate(modules) if isinstance(module, (nn.Conv2d, nn.Linear))]
    k = max(1, min(int(share * len(layers)), len(layers) - 1))
    return nn.ModuleList(modules[layers[-k] :])


# Gradients of single samples


def differentiable_eval(model: nn.Module) -> nn.Module:
    """Put ``model`` into a mode that computes what eval mode does and lets gradients reach every parameter.

    All of it is in eval mode, so a sample's output does not depend on the others or on chance. The exception is the
    attention of TinyViT and its like, which in eval mode works with a copy of its biases.
    """
    model.eval()
    for module in model.modules():
        module.training = hasattr(module, "attention_biases")
    return model


def sample_gradients(model: nn.Module, images: Tensor, labels: Tensor, at_once: int = 64) -> Tensor:
    """Return the gradient of every sample's cross-entropy, [n, P], with columns in the order of ``model.parameters()``.

    The model is left in the mode of :func:`differentiable_eval`. The result takes 4·n·P bytes, and the work as
    much for ``at_once`` samples: pass a large set in parts. ``torch.nn.utils.parameters_to_vector`` has the same order.
    """
    differentiable_eval(model)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(values: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, values, (image[None],)), label[None])

    gradient = vmap(grad(loss), in_dims=(None, 0, 0))
    rows = images.new_empty(len(images), sum(p.numel() for p in parameters.values()))
    parts = (tensor.split(at_once) for tensor in (images, labels, rows))
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):  # vmap cannot batch the fused attention's gradient
        warnings.filterwarnings("ignore", message="There is a performance drop")  # of pooling on channels-last images
        for x, y, out in zip(*parts, strict=True):
            torch.cat([g.flatten(1) for g in gradient(parameters, x, y).values()], 1, out=out)
    return rows
