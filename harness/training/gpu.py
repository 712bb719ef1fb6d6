"""A GPU that trains reference models: the track's data lies on it, and one task after the other is trained there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.support.errors import BenchError
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.interleaved import (
    InterleavedTraining,
    TrainingJob,
    interleaved_training,
    suggested_in_flight,
)

logger = logging.getLogger(__name__)

MEASURED_STEPS = 20
"""Steps of a short training that measures time and memory."""


@dataclass(frozen=True)
class GpuMeasurement:
    """Results of a short training."""

    in_flight: int
    """Models in flight that there was memory for."""
    seconds: float
    """Wall time of one step of all of them."""
    memory: int | None
    """Bytes of GPU memory per model in flight."""


class GpuTrainer:
    """Train models on one device: ``cuda:0``, …, or ``cpu``, which does the same without graphs and streams."""

    def __init__(
        self, references: References, device: str, in_flight: int | None = None, compiled: bool = False
    ) -> None:
        """Put the data set on the device.

        Args:
            references: with the track and its data set.
            device: as torch names it.
            in_flight: models at a time; default: as many as their size suggests. Fewer if memory is exhausted.
            compiled: let ``torch.compile`` fuse the steps.
        """
        track, dataset = references.track, references.examples.dataset
        self.device, self._wanted, self._compiled = torch.device(device), in_flight, compiled
        layout = torch.channels_last if dataset.images.shape[1] > 1 else torch.contiguous_format
        self._images = torch.from_numpy(dataset.images).to(self.device, memory_format=layout)
        self._labels = torch.from_numpy(dataset.labels).to(self.device)
        self._to_input = normaliser(track, device)
        self._channels = track.model_spec.get("channels", 3)
        self._key: tuple[Recipe, int] | None = None
        self._training: InterleavedTraining | None = None

    def train(
        self,
        models: Sequence[nn.Module],
        subsets: Sequence[NDArray[np.int64]],
        seeds: Sequence[int],
        recipe: Recipe,
        on_epoch: Callable[[], None] = lambda: None,
    ) -> list[bool]:
        """Train models in place (on the CPU); arguments as those of ``harness.training.recipe.train``.

        Returns:
            Which ones are trained: all, unless the memory was exhausted before.

        Raises:
            BenchError: there is not enough memory for a single one.
        """
        training = self._training_for(models[0], recipe, len(subsets[0]))
        jobs = [TrainingJob(*arguments) for arguments in zip(models, subsets, seeds, strict=True)]
        done: list[TrainingJob] = []
        try:
            done.extend(training.train(jobs, on_epoch))
        except BenchError:
            self._key = self._training = None
            if not done:
                raise
        return [any(job is other for other in done) for job in jobs]

    def infer(self, model: nn.Module) -> NDArray[np.float32]:
        """Compute the logits [n, classes] of a model on every example, in float32."""
        return infer(model, self._images, self._to_input, str(self.device))

    def measure(self, models: Sequence[nn.Module], subset: NDArray[np.int64], recipe: Recipe) -> GpuMeasurement:
        """Train a few steps twice, where the first time warms up; ``models`` are as many as may be in flight."""
        steps = max(1, min(MEASURED_STEPS, len(subset) // recipe.batch_size))
        first_batches, one_epoch = subset[: steps * recipe.batch_size], replace(recipe, epochs=1)
        for _ in range(2):
            start = time.perf_counter()
            self.train(models, [first_batches] * len(models), range(len(models)), one_epoch)
            seconds = time.perf_counter() - start
        assert self._training is not None
        in_flight = min(self._training.wanted, len(models))
        self._key = self._training = memory = None
        if self.device.type == "cuda":
            data = self._images.nbytes + self._labels.nbytes
            memory = (torch.cuda.max_memory_reserved(self.device) - data) // in_flight
            torch.cuda.empty_cache()  # the processes that train need it
        return GpuMeasurement(in_flight, seconds / steps / -(-len(models) // in_flight), memory)

    def _training_for(self, template: nn.Module, recipe: Recipe, count: int) -> InterleavedTraining:
        """Return the training for such models; only the last kind is kept, because it holds memory."""
        if self._training is None or self._key != (recipe, count):
            self._key = self._training = None
            shape = self._channels, *self._images.shape[2:]
            self._wanted = self._wanted or suggested_in_flight(template, shape, recipe.batch_size)
            data = self._images, self._labels
            self._training = interleaved_training(
                template, *data, count, recipe, self._to_input, self._wanted, self._say, compiled=self._compiled
            )
            self._key = recipe, count
        return self._training

    def _say(self, text: str) -> None:
        assert self._training is not None
        self._wanted = self._training.wanted  # the next kind of models need not try more again
        logger.info("%s: %s", self.device, text)
