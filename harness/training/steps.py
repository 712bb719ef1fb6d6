"""The training step of the recipe in static buffers, so that a CUDA graph can replay it for one model after another.

What an epoch draws (order, crops, flips) comes from the host's seeded generators, is sent once, and is the same on
every device; within an epoch the host never waits for the device.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, lru_cache, partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.mixed_precision import Lowered, update
from unlearn_bench.sandbox.inside.augmentation import moved
from unlearn_bench.sandbox.toolkit import recipe_schedule

Step = Callable[[], None]

WARM_UP = 3
"""Steps before one is recorded: libraries choose their kernels and the optimizer makes its buffers."""


class Recorder(Protocol):
    """Makes a step that only reads and writes static buffers cheap to repeat."""

    def record(self, step: Step) -> Step:
        """Run ``step`` a few times, and return what repeats it."""

    def turn(self) -> AbstractContextManager[Any]:
        """Where everything happens that these steps take part in."""


class Rehearsed:
    """The same without a device to record on: what a CPU does in the place of :class:`Graphs`."""

    def record(self, step: Step) -> Step:
        for _ in range(WARM_UP):
            step()
        return step

    def turn(self) -> AbstractContextManager[Any]:
        return nullcontext()


class Graphs:
    """Steps as CUDA graphs on one stream; they share one memory pool, because they never run at once."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, step: Step) -> Step:
        with torch.cuda.stream(self._stream):  # around the capture too, whose own end may fail
            torch.cuda.synchronize()  # the buffers were made on another stream
            for _ in range(WARM_UP):
                step()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                step()
            return graph.replay

    def turn(self) -> AbstractContextManager[Any]:
        return torch.cuda.stream(self._stream)


def recorder(device: torch.device) -> Recorder:
    return Graphs(device) if device.type == "cuda" else Rehearsed()


def mixed(recipe: Recipe, device: torch.device) -> bool:
    """Whether the recipe allows bfloat16 and the device computes in it; emulated, it is several times slower."""
    if recipe.precision != "bfloat16":
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


@lru_cache(maxsize=4)
def rates(recipe: Recipe, steps: int) -> tuple[float, ...]:
    """The learning rate of every step of a training with ``steps`` steps per epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.lr)
    schedule = recipe_schedule(optimizer, recipe.schedule, recipe.lr, recipe.epochs, steps)
    found = []
    for _ in range(recipe.epochs * steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return tuple(found)


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Sizes of an epoch's batches, at most two different ones: a small last batch would ruin batch-norm statistics."""
    steps = -(-count // batch_size)
    return [count // steps + (number < count % steps) for number in range(steps)]


class Lane:
    """Buffers and steps in which models of one architecture are trained, one after the other.

    ``network`` holds the weights that are trained. Without a recorder (on a CPU) it is the model itself, or several as
    one (``grouped.Grouped``), and is trained once; with one, models are loaded into it and taken out.
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
        compiled: bool = False,
    ) -> None:
        """
        Args:
            network: on the device of the data.
            images: uint8 [n, c, h, w].
            labels: int64 [n].
            count: number of training examples of each model.
            recipe: epochs, batch size, optimizer, schedule, augmentation, precision.
            to_input: from uint8 to the model's input, see :func:`harness.training.recipe.normaliser`.
            groups: how many models ``network`` is, where it is a grouped one.
            recorder: keeps the steps, see :func:`recorder`.
            compiled: let ``torch.compile`` fuse the steps.

        Raises:
            torch.OutOfMemoryError: the device has no room for another lane.
        """
        self.network, self._images, self._labels = network.train(), images, labels
        self._recipe, self._to_input, self._groups = recipe, to_input, groups
        self._count, self._sizes = count, batch_sizes(count, recipe.batch_size)
        self._device, self._recorder = images.device, recorder
        self._mixed = mixed(recipe, self._device)
        # elsewhere, the layout of the models that ship
        self._fast = recipe.precision == "bfloat16" or recorder is not None
        if self._fast and groups is None:
            network.to(memory_format=torch.channels_last)
        self._lowered = Lowered(network) if self._mixed else None
        self._rates = rates(recipe, len(self._sizes))
        self._augmented = bool(recipe.crop or recipe.flip)
        kind = torch.float32 if self._device.type == "cuda" else torch.float64
        self._rate: Tensor | None = None
        if recorder is not None:  # a recorded step can only read a tensor
            self._rate, self._table = (torch.tensor(v, dtype=kind, device=self._device) for v in (0.0, self._rates))
        starts = [0, *itertools.accumulate(self._sizes)][:-1] * recipe.epochs
        self._starts, self._number = (torch.tensor(v, device=self._device) for v in (starts, [0]))
        self._rows = torch.zeros(groups or 1, count, dtype=torch.int64, device=self._device)
        self._moves = torch.zeros(groups or 1, count, 3, dtype=torch.int64, device=self._device)
        self._optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.lr if self._rate is None else self._rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._compiled = compiled
        if compiled:  # what `update` reads, before the first step
            for weight in network.parameters():
                self._optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        self._steps = {}
        with self.turn(), self._uncounted(0):
            for size in sorted(set(self._sizes), reverse=True):
                step = partial(self._step, size)
                self._steps[size] = step if recorder is None else recorder.record(step)

    def turn(self) -> AbstractContextManager[Any]:
        """Everything of this lane happens inside, each step of :meth:`train` for itself."""
        return nullcontext() if self._recorder is None else self._recorder.turn()

    def load(self, model: nn.Module) -> None:
        """Start from the state of ``model``."""
        self.network.load_state_dict(model.state_dict())
        for state in self._optimizer.state.values():
            if (buffer := state.get("momentum_buffer")) is not None:
                buffer.zero_()  # the first step then gives what it gives without a buffer

    def unload(self, model: nn.Module) -> None:
        """Copy the trained state into ``model``."""
        model.load_state_dict(self.network.state_dict())

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch depends on, besides its number: no model of the tracks draws random numbers."""
        found = {f"network.{name}": tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        for name, weight in self.network.named_parameters():
            if (buffer := self._optimizer.state[weight].get("momentum_buffer")) is not None:
                found[f"momentum.{name}"] = buffer.contiguous()
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        own = {name.removeprefix("network."): t for name, t in state.items() if name.startswith("network.")}
        self.network.load_state_dict(own)
        for name, weight in self.network.named_parameters():
            if (buffer := state.get(f"momentum.{name}")) is not None:
                self._optimizer.state[weight]["momentum_buffer"] = torch.empty_like(weight).copy_(buffer)

    def train(
        self,
        subsets: Sequence[NDArray[np.int64]],
        seeds: Sequence[int],
        on_epoch: Callable[[], None] = lambda: None,
        done: int = 0,
    ) -> Iterator[None]:
        """Train; yields after every step, so that several lanes can take turns.

        Args:
            subsets: for each model of ``network`` (one, or a group) the indices of its training examples.
            seeds: for each model the seed of its data order and augmentation, which depend on nothing else.
            on_epoch: called after every epoch (which a device may still be busy with).
            done: epochs that :meth:`restore` brought.
        """
        orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws = [torch.Generator().manual_seed(derive(seed, 1)) for seed in seeds]
        indices = torch.from_numpy(np.stack(subsets))
        self._number.fill_(done * len(self._sizes))
        if self._lowered is not None:
            self._lowered.refresh()
        for epoch in range(self._recipe.epochs):
            order = torch.stack([torch.randperm(self._count, generator=generator) for generator in orders])
            drawn = [_moves(self._recipe, self._count, generator) for generator in draws] if self._augmented else []
            if epoch < done:
                continue  # what it drew decides what later epochs draw
            self._rows.copy_(self._sent(indices.gather(1, order)))
            if self._augmented:
                self._moves.copy_(self._sent(torch.stack(drawn)))
            with self._uncounted(len(self._sizes)):
                for number, size in enumerate(self._sizes, epoch * len(self._sizes)):
                    self._set_rate(number)
                    self._steps[size]()
                    yield
            on_epoch()

    def _sent(self, drawn: Tensor) -> Tensor:
        """On the device; pinned, so that the host need not wait."""
        return drawn.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else drawn

    def _set_rate(self, number: int) -> None:
        if self._rate is None:  # a recorded step reads it from the table
            for group in self._optimizer.param_groups:
                group["lr"] = self._rates[number]

    @contextmanager
    def _uncounted(self, steps: int) -> Iterator[None]:
        """Batch norm counts no batches inside, one kernel a layer, but so many ``steps`` at the end."""
        norms = [norm for norm in self.network.modules() if isinstance(norm, _BatchNorm) and norm.momentum is not None]
        counts = [norm.num_batches_tracked for norm in norms]
        for norm in norms:
            norm.num_batches_tracked = None
        try:
            yield
        finally:
            for norm, count in zip(norms, counts, strict=True):
                norm.num_batches_tracked = None if count is None else count.add_(steps)

    def _step(self, size: int) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss = _compiled(Lane._loss)(self, size) if self._compiled else self._loss(size)
        loss.backward()
        if self._compiled:
            self._update()
            return
        if self._lowered is not None:
            self._lowered.give_gradients()
        self._optimizer.step()
        if self._lowered is not None:
            self._lowered.refresh()

    def _update(self) -> None:
        """What is left of a step, the casts included, as one compiled function."""
        weights, copies = (self._lowered.weights, self._lowered.copies) if self._lowered is not None else ([], [])
        own = [weight for weight in self.network.parameters() if weight.grad is not None]
        momenta = [self._optimizer.state[weight]["momentum_buffer"] for weight in [*weights, *own]]
        gradients = [weight.grad for weight in [*copies, *own]]
        recipe, rate = self._recipe, self._recipe.lr if self._rate is None else self._rate
        _compiled(update)([*weights, *own], copies, momenta, gradients, rate, recipe.momentum, recipe.weight_decay)
        for copied in copies:
            copied.grad = None

    def _loss(self, size: int) -> Tensor:
        """Of the next batch, summed over the models: each gets the gradient it would get alone."""
        recipe = self._recipe
        at = (self._starts[self._number] + torch.arange(size, device=self._device)) % self._count
        rows = self._rows[:, at].flatten()
        if self._augmented:
            down, right, flips = self._moves[:, at].flatten(0, 1).split(1, dim=1)
            mirrored = flips > 0 if recipe.flip else None
            cut = recipe.crop > 0
            batch = moved(self._images, rows, down if cut else None, right if cut else None, mirrored)
        else:
            batch = self._images[rows]
        if self._rate is not None:
            self._rate.copy_(self._table[self._number].squeeze(0))
        self._number.add_(1).remainder_(len(self._rates))  # what warms up comes to no end
        batch = self._to_input(batch)
        if self._fast:
            batch = batch.contiguous(memory_format=torch.channels_last)
        network = self.network if self._lowered is None else self._lowered.network
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed, cache_enabled=False):
            logits = network(batch)[None] if self._groups is None else network(batch.unflatten(0, (-1, size)))
        logits = logits.flatten(0, 1)
        return cross_entropy(logits.float() if self._mixed else logits, self._labels[rows], reduction="sum") / size


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """One for all lanes, which share what is compiled; batches have two sizes, and kernels for any size are slower."""
    return torch.compile(function, dynamic=False, fullgraph=True)


def _moves(recipe: Recipe, count: int, generator: torch.Generator) -> Tensor:
    """What an epoch's augmentation does to each example, int16 [count, 3]: down, right, mirrored."""
    moves = torch.zeros(count, 3, dtype=torch.int16)
    if recipe.crop:
        moves[:, :2] = torch.randint(-recipe.crop, recipe.crop + 1, (count, 2), generator=generator)
    if recipe.flip:
        moves[:, 2] = torch.randint(2, (count,), generator=generator)
    return moves
