"""The training step of the recipe in static buffers, so that a CUDA graph can replay it for one model after another.

What an epoch draws (order, crops, flips) comes from the host's seeded generators, is sent once, and is the same on
every device; within an epoch the host never waits for the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.draws import mixup_shares, moves
from unlearn_bench.harness.training.mixed_precision import Bfloat16Copies, uses_bfloat16
from unlearn_bench.harness.training.recorders import Recorder
from unlearn_bench.sandbox.inside.augmentation import moved, resized_crops
from unlearn_bench.sandbox.inside.randaugment import randaugmented
from unlearn_bench.sandbox.toolkit import recipe_optimizer, recipe_schedule

BUFFERS = {"momentum_buffer": "momentum", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "step"}
"""What optimizers keep of every weight, and the beginning of its name in a checkpoint."""


@lru_cache(maxsize=4)
def rates(recipe: Recipe, steps: int) -> tuple[float, ...]:
    """Return the learning rate of every step of a training with ``steps`` steps per epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    schedule = recipe_schedule(optimizer, recipe.schedule, recipe.lr, recipe.epochs, steps, recipe.warmup)
    values = []
    for _ in range(recipe.epochs * steps):
        values.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return tuple(values)


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Return the sizes of an epoch's batches, at most two different ones.

    A small last batch would ruin batch-norm statistics.
    """
    steps = -(-count // batch_size)
    return [count // steps + (number < count % steps) for number in range(steps)]


class TrainingLoop:
    """Buffers and steps in which models of one architecture are trained, one after the other.

    ``network`` holds the weights that are trained. Without a recorder (on a CPU) it is the model itself, or several as
    one (``grouped.Grouped``), and is trained once; with a recorder, models are loaded into it and taken out.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        count: int,
        recipe: Recipe,
        to_input: Callable[[Tensor], Tensor],
        groups: int | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Make the buffers, and record the steps if there is a recorder.

        Args:
            network: on the device of the data.
            images: uint8 [n, c, h, w].
            labels: int64 [n].
            count: number of training examples of each model.
            recipe: epochs, batch size, optimizer, schedule, augmentation, precision.
            to_input: from uint8 to the model's input, see ``harness.training.inference.normaliser``.
            groups: how many models ``network`` is, where it is a grouped one.
            recorder: records the steps, see ``harness.training.recorders``.

        Raises:
            torch.OutOfMemoryError: the device has no room for another loop.
        """
        self.network, self._images, self._labels = network.train(), images, labels
        self._recipe, self._to_input, self._groups = recipe, to_input, groups
        self._count, self._sizes = count, batch_sizes(count, recipe.batch_size)
        self._device, self._recorder = images.device, recorder
        self._mixed = uses_bfloat16(recipe, self._device)
        # other trainings keep the layout in which the models that ship were trained
        self._channels_last = recipe.precision == "bfloat16" or recorder is not None
        if self._channels_last and groups is None:
            network.to(memory_format=torch.channels_last)
        self._copies = Bfloat16Copies(network) if self._mixed else None
        self._rates = rates(recipe, len(self._sizes))
        self._augmented = bool(recipe.crop or recipe.flip or recipe.random_resized_crop or recipe.randaugment)
        rate_dtype = torch.float32 if self._device.type == "cuda" else torch.float64
        self._rate: Tensor | None = None
        if recorder is not None:  # a recorded step can only read a tensor
            self._rate, self._table = (
                torch.tensor(v, dtype=rate_dtype, device=self._device) for v in (0.0, self._rates)
            )
        starts = [0, *itertools.accumulate(self._sizes)][:-1] * recipe.epochs
        self._starts, self._number = (torch.tensor(v, device=self._device) for v in (starts, [0]))
        self._rows = torch.zeros(groups or 1, count, dtype=torch.int64, device=self._device)
        columns = len(moves(recipe, 1, images.shape[2:], torch.Generator())[0])
        self._moves = torch.zeros(groups or 1, count, columns, dtype=torch.int64, device=self._device)
        self._shares = torch.zeros(groups or 1, len(self._sizes), device=self._device)
        self._optimizer = recipe_optimizer(
            network.parameters(),
            recipe.optimizer,
            recipe.lr if self._rate is None else self._rate,
            recipe.weight_decay,
            recipe.momentum,
            recipe.nesterov,
            capturable=self._device.type == "cuda",
        )
        self._prepare()
        self._steps = {}
        with self.stream(), self._uncounted(0):
            for size in sorted(set(self._sizes), reverse=True):
                step = partial(self._step, size)
                self._steps[size] = step if recorder is None else recorder.record(step)

    def stream(self) -> AbstractContextManager[Any]:
        """Return the context in which :meth:`load`, :meth:`unload` and each step of :meth:`train` must happen."""
        return nullcontext() if self._recorder is None else self._recorder.stream()

    def load(self, model: nn.Module) -> None:
        """Start from the state of ``model``."""
        self.network.load_state_dict(model.state_dict())
        for state in self._optimizer.state.values():
            for buffer in state.values():
                if isinstance(buffer, Tensor):
                    buffer.zero_()  # the first step then gives what it gives without a buffer

    def unload(self, model: nn.Module) -> None:
        """Copy the trained state into ``model``."""
        model.load_state_dict(self.network.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Return all that the next epoch depends on, except its number, from which follows what dropout draws."""
        state = {f"network.{name}": tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        for name, weight in self.network.named_parameters():
            for key, buffer in self._optimizer.state[weight].items():
                if isinstance(buffer, Tensor):
                    state[f"{BUFFERS[key]}.{name}"] = buffer.contiguous()
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned."""
        weights = {name.removeprefix("network."): t for name, t in state.items() if name.startswith("network.")}
        self.network.load_state_dict(weights)
        for name, weight in self.network.named_parameters():
            for key, prefix in BUFFERS.items():
                if (buffer := state.get(f"{prefix}.{name}")) is not None:
                    own = torch.empty_like(weight) if buffer.shape == weight.shape else torch.empty_like(buffer)
                    self._optimizer.state[weight][key] = own.copy_(buffer)

    def train(
        self,
        subsets: Sequence[NDArray[np.int64]],
        seeds: Sequence[int],
        on_epoch: Callable[[], None] = lambda: None,
        done: int = 0,
    ) -> Iterator[None]:
        """Train, and yield after every step, so that several loops can be interleaved.

        Args:
            subsets: for each model of ``network`` (one, or a group) the indices of its training examples.
            seeds: for each model the seed of its data order and augmentation, which depend on nothing else.
            on_epoch: called after every epoch (which a device may still be busy with).
            done: epochs that the state given to :meth:`restore` had finished.
        """
        orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws = [torch.Generator().manual_seed(derive(seed, 1)) for seed in seeds]
        indices = torch.from_numpy(np.stack(subsets))
        self._number.fill_(done * len(self._sizes))
        if self._copies is not None:
            self._copies.refresh()
        for epoch in range(self._recipe.epochs):
            order = torch.stack([torch.randperm(self._count, generator=generator) for generator in orders])
            shape = self._images.shape[2:]
            drawn = [moves(self._recipe, self._count, shape, each) for each in draws] if self._augmented else []
            if epoch < done:
                continue  # what it drew decides what later epochs draw
            if self._recorder is None:
                torch.manual_seed(derive(seeds[0], 2, epoch))  # for dropout, in networks that have some
            self._rows.copy_(self._to_device(indices.gather(1, order)))
            if self._augmented:
                self._moves.copy_(self._to_device(torch.stack(drawn)))
            if self._recipe.mixup:
                shares = [mixup_shares(self._recipe.mixup, len(self._sizes), derive(seed, 3, epoch)) for seed in seeds]
                self._shares.copy_(self._to_device(torch.stack(shares)))
            with self._uncounted(len(self._sizes)):
                for number, size in enumerate(self._sizes, epoch * len(self._sizes)):
                    self._set_rate(number)
                    self._steps[size]()
                    yield
            on_epoch()

    def _to_device(self, drawn: Tensor) -> Tensor:
        """Send a tensor to the device from pinned memory, so that the host need not wait."""
        return drawn.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else drawn

    def _set_rate(self, number: int) -> None:
        if self._rate is None:  # a recorded step reads it from the table
            for group in self._optimizer.param_groups:
                group["lr"] = self._rates[number]

    @contextmanager
    def _uncounted(self, steps: int) -> Iterator[None]:
        """Pause batch norm's counters, which cost a kernel per layer, and add ``steps`` to them at the end."""
        norms = [norm for norm in self.network.modules() if isinstance(norm, _BatchNorm) and norm.momentum is not None]
        counts = [norm.num_batches_tracked for norm in norms]
        for norm in norms:
            norm.num_batches_tracked = None
        try:
            yield
        finally:
            for norm, count in zip(norms, counts, strict=True):
                norm.num_batches_tracked = None if count is None else count.add_(steps)

    def _prepare(self) -> None:
        """Allocate what the steps read; called before the first one."""

    def _step(self, size: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._loss(size).backward()
        self._update()

    def _update(self) -> None:
        """Change the weights by their gradients."""
        if self._copies is not None:
            self._copies.move_gradients()
        if self._recipe.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.clip)
        self._optimizer.step()
        if self._copies is not None:
            self._copies.refresh()

    def _loss(self, size: int) -> Tensor:
        """Compute the loss of the next batch, summed over the models: each gets the gradient it would get by itself."""
        recipe = self._recipe
        positions = (self._starts[self._number] + torch.arange(size, device=self._device)) % self._count
        rows = self._rows[:, positions].flatten()
        drawn = self._moves[:, positions].flatten(0, 1)
        batch = self._augment(rows, drawn) if self._augmented else self._images[rows]
        share = self._shares[:, self._number % len(self._sizes)]
        if self._rate is not None:
            self._rate.copy_(self._table[self._number].squeeze(0))
        self._number.add_(1).remainder_(len(self._rates))  # steps that warm up must not run past the end
        batch = self._to_input(batch)
        if recipe.mixup:
            each, mine = batch.unflatten(0, (-1, size)), share[..., None, None, None]
            batch = (mine * each + (1 - mine) * each.roll(1, 1)).flatten(0, 1)
        if self._channels_last:
            batch = batch.contiguous(memory_format=torch.channels_last)
        network = self.network if self._copies is None else self._copies.network
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed, cache_enabled=False):
            logits = network(batch)[None] if self._groups is None else network(batch.unflatten(0, (-1, size)))
        logits = logits.flatten(0, 1)
        logits = logits.float() if self._mixed else logits
        smoothing, labels = recipe.label_smoothing, self._labels[rows]
        if recipe.mixup:
            others = labels.unflatten(0, (-1, size)).roll(1, 1).flatten()
            mine, theirs = (
                cross_entropy(logits, y, reduction="none", label_smoothing=smoothing) for y in (labels, others)
            )
            weight = share.expand(-1, size).flatten()
            return (weight * mine + (1 - weight) * theirs).sum() / size
        return cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing) / size

    def _augment(self, rows: Tensor, drawn: Tensor) -> Tensor:
        """Return the images of ``rows``, augmented as :func:`harness.training.draws.moves` drew it."""
        recipe = self._recipe
        (down, right, flips), drawn = drawn[:, :3].split(1, dim=1), drawn[:, 3:]
        mirrored = flips > 0 if recipe.flip else None
        cut = recipe.crop > 0
        batch = moved(self._images, rows, down if cut else None, right if cut else None, mirrored)
        if recipe.random_resized_crop:
            batch, drawn = resized_crops(batch, drawn[:, :4]), drawn[:, 4:]
        return randaugmented(batch, drawn, recipe.randaugment) if recipe.randaugment else batch
