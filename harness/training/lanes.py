"""Several models in flight on one GPU: each lane trains one model after the other, and the lanes take turns by step.

A model that fills the chip trains alone; of a small one, several share it, each on a stream of its own. What does not
fit into the memory waits: the number of lanes falls, and nothing that is finished is lost.
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
from unlearn_bench.harness.training.small_maps import adapted
from unlearn_bench.harness.training.steps import Lane, Recorder, recorder

MOST = 8
FILLS = 0.6e12
"""Operations (multiply-adds, twice) of one forward pass over a batch that fill a GPU. Measured on an H200: at 0.02e12
models per hour still grow from four in flight to eight, at 0.28e12 from one to two, and hardly beyond."""


@dataclass(frozen=True)
class Course:
    """One model to train."""

    model: nn.Module
    """On the CPU; gets the trained state."""
    subset: NDArray[np.int64]
    """Indices of its training examples."""
    seed: int
    """Of its data order and augmentation."""


class InFlight:
    """The lanes of one GPU, for models of one architecture and one number of training examples.

    ``wanted`` is how many there may be; lanes are made as models come, and kept for the next ones.
    """

    def __init__(self, make: Callable[[], Lane], wanted: int, say: Callable[[str], None]) -> None:
        """
        Args:
            make: makes another lane; may raise ``torch.OutOfMemoryError``.
            wanted: how many lanes at most.
            say: told when there is memory for fewer.
        """
        self._make, self.wanted, self._say = make, wanted, say
        self._lanes: list[Lane] = []

    def train(self, courses: Sequence[Course], on_epoch: Callable[[], None] = lambda: None) -> Iterator[Course]:
        """Train every course's model; yields each as it is finished.

        Raises:
            BenchError: not even one model fits into the memory.
        """
        waiting = deque(courses)
        running: dict[Lane, tuple[Course, Iterator[None]]] = {}
        while waiting or running:
            try:
                while waiting and len(running) < self.wanted:
                    lane = self._free(running)
                    with lane.turn():
                        lane.load(waiting[0].model)
                    course = waiting.popleft()
                    running[lane] = course, lane.train([course.subset], [course.seed], on_epoch)
            except RuntimeError as error:
                self._fewer(error)
            lost: Lane | None = None
            for lane in list(running):
                course, steps = running[lane]
                try:
                    with lane.turn():
                        if next(steps, self) is not self:
                            continue
                        lane.unload(course.model)
                    del running[lane]
                    yield course
                except RuntimeError as error:
                    lost, reason = lane, error
                    break
            if lost is not None:
                waiting.appendleft(running.pop(lost)[0])  # it starts again from its initial state
                self._lanes.remove(lost)
                lost = lane = steps = None  # type: ignore[assignment]  # nothing may hold what is to be freed
                self._fewer(reason)

    def _free(self, running: Mapping[Lane, Any]) -> Lane:
        for lane in self._lanes:
            if lane not in running:
                return lane
        self._lanes.append(self._make())
        return self._lanes[-1]

    def _fewer(self, error: RuntimeError) -> None:
        """Go on with the lanes that there are, if it was memory that lacked."""
        if not out_of_memory(error):
            raise error
        error.__traceback__ = error.__context__ = None  # whose frames hold tensors
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.wanted = len(self._lanes)
        if not self.wanted:
            raise BenchError(
                "the memory does not suffice to train one model",
                "this machine",
                "free memory of the device, use another one, or train on the CPU",
                EXIT_CODES["infra"],
            ) from None
        self._say(f"out of memory: going on with {self.wanted} at a time")


def out_of_memory(error: BaseException | None) -> bool:
    """Whether a device or the machine had no memory left; what a capture reports on its way out may hide that."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def open_lanes(
    template: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    count: int,
    recipe: Recipe,
    to_input: Callable[[torch.Tensor], torch.Tensor],
    wanted: int,
    say: Callable[[str], None],
    record: Callable[[torch.device], Recorder] = recorder,
    compiled: bool = False,
) -> InFlight:
    """Lanes for models like ``template`` on the device of the data; arguments as those of ``steps.Lane``."""
    device = images.device
    if compiled:
        torch._dynamo.reset()  # it keeps eight compiled functions at most, and recorded ones need it no more
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # shapes are static
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # the recipe says the precision

    def lane() -> Lane:
        network = copy.deepcopy(template).to(device)
        if device.type == "cpu":  # a GPU's own convolutions are the faster ones, by a tenth to a quarter of a step
            network = adapted(network)
        return Lane(network, images, labels, count, recipe, to_input, recorder=record(device), compiled=compiled)

    def make() -> Lane:
        nonlocal compiled
        if not compiled:
            return lane()
        from torch._dynamo.exc import TorchDynamoException

        try:
            return lane()
        except TorchDynamoException as error:
            if out_of_memory(error):
                raise
            compiled = False
            reason = " ".join(str(error).split())[:200]
            say(f"the step cannot be compiled, going on without: {reason}")
        return lane()

    return InFlight(make, wanted, say)


def suggested(template: nn.Module, image: tuple[int, ...], batch_size: int) -> int:
    """How many models of this size share a GPU, from the work of one batch; memory may allow fewer.

    Args:
        template: a model on the CPU.
        image: shape (c, h, w) of its input.
    """
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(template).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *image))
    return int(min(MOST, max(1, FILLS // (counter.get_total_flops() * batch_size))))
