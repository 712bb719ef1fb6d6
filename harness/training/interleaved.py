"""Several models in flight on one GPU: each training loop takes one model after the other, and the loops interleave.

A model that fills the chip has it for itself; several small ones share it, each on a stream of its own. What does not
fit into the memory waits: the number of loops falls, and nothing that is finished is lost.
"""

from __future__ import annotations

import copy
import gc
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.memory import out_of_memory
from unlearn_bench.harness.training.recorders import Recorder, recorder_for
from unlearn_bench.harness.training.small_maps import with_small_map_convolutions
from unlearn_bench.harness.training.step import TrainingLoop

MOST = 8
"""Models in flight on one GPU at most."""
FILLS = 0.6e12
"""Operations of one forward pass over a batch (two per multiply-add) that fill a GPU. Measured on an H200: at 0.02e12
models per hour still grow from four in flight to eight, at 0.28e12 from one to two, and hardly beyond."""


@dataclass(frozen=True)
class TrainingJob:
    """One model to train."""

    model: nn.Module
    """On the CPU; gets the trained state."""
    subset: NDArray[np.int64]
    """Indices of its training examples."""
    seed: int
    """Of its data order and augmentation."""


class InterleavedTraining:
    """The training loops of one GPU, for models of one architecture and one number of training examples.

    ``wanted`` is how many there may be; loops are made as models come, and kept for the next ones.
    """

    def __init__(self, make: Callable[[], TrainingLoop], wanted: int, say: Callable[[str], None]) -> None:
        """Make no loop yet.

        Args:
            make: makes another loop; may raise ``torch.OutOfMemoryError``.
            wanted: how many loops at most.
            say: called with a message when there is memory for fewer.
        """
        self._make, self.wanted, self._say = make, wanted, say
        self._loops: list[TrainingLoop] = []

    def train(self, jobs: Sequence[TrainingJob], on_epoch: Callable[[], None] = lambda: None) -> Iterator[TrainingJob]:
        """Train the models of all jobs, and yield each job as it is finished.

        Raises:
            BenchError: not even one model fits into the memory.
        """
        waiting = deque(jobs)
        running: dict[TrainingLoop, tuple[TrainingJob, Iterator[None]]] = {}
        while waiting or running:
            try:
                while waiting and len(running) < self.wanted:
                    loop = self._free(running)
                    with loop.stream():
                        loop.load(waiting[0].model)
                    job = waiting.popleft()
                    running[loop] = job, loop.train([job.subset], [job.seed], on_epoch)
            except RuntimeError as error:
                self._continue_with_fewer(error)
            failed: TrainingLoop | None = None
            for loop in list(running):
                job, steps = running[loop]
                try:
                    with loop.stream():
                        if next(steps, self) is not self:
                            continue
                        loop.unload(job.model)
                    del running[loop]
                    yield job
                except RuntimeError as error:
                    failed, reason = loop, error
                    break
            if failed is not None:
                waiting.appendleft(running.pop(failed)[0])  # it starts again from its initial state
                self._loops.remove(failed)
                failed = loop = steps = None  # type: ignore[assignment]  # nothing may hold what is to be freed
                self._continue_with_fewer(reason)

    def _free(self, running: Mapping[TrainingLoop, Any]) -> TrainingLoop:
        for loop in self._loops:
            if loop not in running:
                return loop
        self._loops.append(self._make())
        return self._loops[-1]

    def _continue_with_fewer(self, error: RuntimeError) -> None:
        """Continue with the existing loops if the error says that memory is exhausted; raise it otherwise."""
        if not out_of_memory(error):
            raise error
        error.__traceback__ = error.__context__ = None  # whose frames hold tensors
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.wanted = len(self._loops)
        if not self.wanted:
            raise BenchError(
                "the memory does not suffice to train one model",
                "this machine",
                "free memory of the device, use another one, or train on the CPU",
                EXIT_CODES["infra"],
            ) from None
        self._say(f"out of memory: continuing with {self.wanted} at a time")


def interleaved_training(
    template: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    count: int,
    recipe: Recipe,
    to_input: Callable[[torch.Tensor], torch.Tensor],
    wanted: int,
    say: Callable[[str], None],
    record: Callable[[torch.device], Recorder] = recorder_for,
    compiled: bool = False,
) -> InterleavedTraining:
    """Prepare a training of models like ``template`` on the device of the data.

    Args:
        template: a model; the other arguments up to ``to_input`` are those of ``step.TrainingLoop``.
        images: uint8 [n, c, h, w].
        labels: int64 [n].
        count: number of training examples of each model.
        recipe: epochs, batch size, optimizer, schedule, augmentation, precision.
        to_input: from uint8 to the model's input.
        wanted: how many models in flight at most.
        say: called with a message when there is memory for fewer, and when steps cannot be compiled.
        record: makes the recorder of a loop.
        compiled: let ``torch.compile`` fuse the steps.
    """
    device = images.device
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # shapes are static
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # the recipe sets the precision

    def make(loop_class: type[TrainingLoop] = TrainingLoop) -> TrainingLoop:
        network = copy.deepcopy(template).to(device)
        if device.type == "cpu":  # a GPU's own convolutions are the faster ones, by a tenth to a quarter of a step
            network = with_small_map_convolutions(network)
        return loop_class(network, images, labels, count, recipe, to_input, recorder=record(device))

    if not compiled:
        return InterleavedTraining(make, wanted, say)
    from unlearn_bench.harness.training.compilation import compiled_loops

    return InterleavedTraining(compiled_loops(make, say), wanted, say)


def suggested_in_flight(template: nn.Module, image: tuple[int, ...], batch_size: int) -> int:
    """Suggest how many models of this size share a GPU, from the work of one batch; memory may allow fewer.

    Args:
        template: a model on the CPU.
        image: shape (c, h, w) of its input.
        batch_size: of the training.
    """
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(template).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *image))
    return int(min(MOST, max(1, FILLS // (counter.get_total_flops() * batch_size))))
