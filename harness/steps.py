"""The training step of the recipe in static buffers, so that a CUDA graph can replay it for one model after another.

What an epoch draws (order, crops, flips) comes from the host's seeded generators, is sent once, and is the same on
every device; within an epoch the host never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.seeds import derive
from harness.track import Recipe
from sandbox.inside.augmentation import moved
from sandbox.toolkit import recipe_schedule

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
    one (:class:`harness.grouped.Grouped`), and is trained once; with one, models are loaded into it and taken out.
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
        """
        Args:
            network: on the device of the data.
            images: uint8 [n, c, h, w].
            labels: int64 [n].
            count: number of training examples of each model.
            recipe: epochs, batch size, optimizer, schedule, augmentation, precision.
            to_input: from uint8 to the model's input, see :func:`harness.training.normaliser`.
            groups: how many models ``network`` is, where it is a grouped one.
            recorder: keeps the steps, see :func:`recorder`.

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
        self._rates = rates(recipe, len(self._sizes))
        kind = torch.float32 if self._device.type == "cuda" else torch.float64
        self._rate: Tensor | None = None
        if recorder is not None:  # a recorded step can only read a tensor
            self._rate, self._table = (torch.tensor(v, dtype=kind, device=self._device) for v in (0.0, self._rates))
        self._optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.lr if self._rate is None else self._rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._rows, self._moves, self._steps = {}, {}, {}
        with self.turn():
            for size in sorted(set(self._sizes), reverse=True):
                rows = torch.zeros(groups or 1, size, dtype=torch.int64, device=self._device)
                moves = torch.zeros(groups or 1, size, 3, dtype=torch.int64, device=self._device)
                self._rows[size], self._moves[size] = rows, moves

                def step(rows: Tensor = rows, moves: Tensor = moves) -> None:
                    self._step(rows, moves)

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
        augmented = bool(self._recipe.crop or self._recipe.flip)
        orders = [torch.Generator().manual_seed(seed) for seed in seeds]
        draws = [torch.Generator().manual_seed(derive(seed, 1)) for seed in seeds]
        indices = torch.from_numpy(np.stack(subsets))
        rate = iter(range(done * len(self._sizes), len(self._rates)))
        for epoch in range(self._recipe.epochs):
            order = torch.stack([torch.randperm(self._count, generator=generator) for generator in orders])
            drawn = [_moves(self._recipe, self._count, generator) for generator in draws] if augmented else []
            if epoch < done:
                continue  # what it drew decides what later epochs draw
            rows = self._sent(indices.gather(1, order)).split(self._sizes, dim=1)
            moves = self._sent(torch.stack(drawn)).split(self._sizes, dim=1) if augmented else ()
            for number, size in enumerate(self._sizes):
                self._rows[size].copy_(rows[number])
                if augmented:
                    self._moves[size].copy_(moves[number])
                self._set_rate(next(rate))
                self._steps[size]()
                yield
            on_epoch()

    def _sent(self, drawn: Tensor) -> Tensor:
        """On the device; pinned, so that the host need not wait."""
        return drawn.pin_memory().to(self._device, non_blocking=True) if self._device.type == "cuda" else drawn

    def _set_rate(self, number: int) -> None:
        if self._rate is not None:
            self._rate.copy_(self._table[number])
            return
        for group in self._optimizer.param_groups:
            group["lr"] = self._rates[number]

    def _step(self, rows: Tensor, moves: Tensor) -> None:
        recipe, chosen = self._recipe, rows.flatten()
        if recipe.crop or recipe.flip:
            down, right, flips = moves.flatten(0, 1).split(1, dim=1)
            mirrored = flips > 0 if recipe.flip else None
            cut = recipe.crop > 0
            batch = moved(self._images, chosen, down if cut else None, right if cut else None, mirrored)
        else:
            batch = self._images[chosen]
        batch = self._to_input(batch)
        if self._fast:
            batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed, cache_enabled=False):
            logits = self.network(batch)[None] if self._groups is None else self.network(batch.unflatten(0, rows.shape))
        logits = logits.flatten(0, 1)
        # the sum over models of their mean losses: each model gets the gradient it would get alone
        summed = cross_entropy(logits.float() if self._mixed else logits, self._labels[chosen], reduction="sum")
        self._optimizer.zero_grad(set_to_none=True)
        (summed / rows.shape[1]).backward()
        self._optimizer.step()


def _moves(recipe: Recipe, count: int, generator: torch.Generator) -> Tensor:
    """What an epoch's augmentation does to each example, int16 [count, 3]: down, right, mirrored."""
    moves = torch.zeros(count, 3, dtype=torch.int16)
    if recipe.crop:
        moves[:, :2] = torch.randint(-recipe.crop, recipe.crop + 1, (count, 2), generator=generator)
    if recipe.flip:
        moves[:, 2] = torch.randint(2, (count,), generator=generator)
    return moves
