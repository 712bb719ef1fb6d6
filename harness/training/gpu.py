"""A GPU that trains reference models: the track's data lies on it, and its lanes serve one task after the other."""

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
from unlearn_bench.harness.training.lanes import Course, InFlight, open_lanes, suggested
from unlearn_bench.harness.training.recipe import infer, normaliser

logger = logging.getLogger(__name__)

TRIAL = 20
"""Steps of a trial."""


@dataclass(frozen=True)
class Trial:
    """What a short training showed."""

    at_once: int
    """Models in flight that there was memory for."""
    seconds: float
    """Wall time of one step of all of them."""
    memory: int | None
    """Bytes of GPU memory per model in flight."""


class Resident:
    """One device (``cuda:0``, …; ``cpu`` goes the same way without graphs and streams) and the models in flight on it.

    ``at_once`` models are in flight, by default as many as their size suggests, or fewer where memory lacks; their
    steps may be ``compiled``.
    """

    def __init__(self, references: References, device: str, at_once: int | None = None, compiled: bool = False) -> None:
        track, dataset = references.track, references.dataset
        self.device, self._wanted, self._compiled = torch.device(device), at_once, compiled
        layout = torch.channels_last if dataset.images.shape[1] > 1 else torch.contiguous_format
        self._images = torch.from_numpy(dataset.images).to(self.device, memory_format=layout)
        self._labels = torch.from_numpy(dataset.labels).to(self.device)
        self._to_input = normaliser(track, device)
        self._channels = track.model_spec.get("channels", 3)
        self._key: tuple[Recipe, int] | None = None
        self._flight: InFlight | None = None

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
            Which ones are trained: all, unless the memory ended before.

        Raises:
            BenchError: the memory does not suffice for a single one.
        """
        flight = self._lanes(models[0], recipe, len(subsets[0]))
        courses = [Course(*each) for each in zip(models, subsets, seeds, strict=True)]
        done: list[Course] = []
        try:
            done.extend(flight.train(courses, on_epoch))
        except BenchError:
            self._key = self._flight = None
            if not done:
                raise
        return [any(course is other for other in done) for course in courses]

    def infer(self, model: nn.Module) -> NDArray[np.float32]:
        """Logits [n, classes] on every example, in float32."""
        return infer(model, self._images, self._to_input, str(self.device))

    def trial(self, models: Sequence[nn.Module], subset: NDArray[np.int64], recipe: Recipe) -> Trial:
        """Train a few steps twice, of which the first ones warm up; ``models`` are as many as may be in flight."""
        steps = max(1, min(TRIAL, len(subset) // recipe.batch_size))
        few, short = subset[: steps * recipe.batch_size], replace(recipe, epochs=1)
        for _ in range(2):
            start = time.perf_counter()
            self.train(models, [few] * len(models), range(len(models)), short)
            seconds = time.perf_counter() - start
        assert self._flight is not None
        at_once = min(self._flight.wanted, len(models))
        self._key = self._flight = memory = None
        if self.device.type == "cuda":
            data = self._images.nbytes + self._labels.nbytes
            memory = (torch.cuda.max_memory_reserved(self.device) - data) // at_once
            torch.cuda.empty_cache()  # other processes go on from here
        return Trial(at_once, seconds / steps / -(-len(models) // at_once), memory)

    def _lanes(self, template: nn.Module, recipe: Recipe, count: int) -> InFlight:
        """The lanes for these models; of the last kind only, because they hold memory."""
        if self._flight is None or self._key != (recipe, count):
            self._key = self._flight = None
            shape = self._channels, *self._images.shape[2:]
            self._wanted = self._wanted or suggested(template, shape, recipe.batch_size)
            data = self._images, self._labels
            self._flight = open_lanes(
                template, *data, count, recipe, self._to_input, self._wanted, self._say, compiled=self._compiled
            )
            self._key = recipe, count
        return self._flight

    def _say(self, text: str) -> None:
        assert self._flight is not None
        self._wanted = self._flight.wanted  # the lanes of the next kind need not try again
        logger.info("%s: %s", self.device, text)
