"""Ways to make a step that only reads and writes static buffers cheap to repeat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch

Step = Callable[[], None]

WARM_UP = 3
"""Steps before one is recorded: libraries choose their kernels and the optimizer makes its buffers."""


class Recorder(Protocol):
    """Record steps on one device."""

    def record(self, step: Step) -> Step:
        """Run ``step`` a few times, and return what repeats it."""

    def stream(self) -> AbstractContextManager[Any]:
        """Return the context in which recorded steps, and all that they depend on, must happen."""


class EagerRecorder:
    """Warm steps up and return them as they are: what a CPU has in place of :class:`CudaGraphRecorder`."""

    def record(self, step: Step) -> Step:
        """Run ``step`` a few times, and return it."""
        for _ in range(WARM_UP):
            step()
        return step

    def stream(self) -> AbstractContextManager[Any]:
        """Return a context without effect."""
        return nullcontext()


class CudaGraphRecorder:
    """Record steps as CUDA graphs on one stream; they share one memory pool, because they never run at once."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, step: Step) -> Step:
        """Run ``step`` a few times, capture it, and return the replay of its graph.

        Raises:
            torch.OutOfMemoryError: the device has no room for it.
        """
        with torch.cuda.stream(self._stream):  # around the capture too, whose own end may fail
            torch.cuda.synchronize()  # the buffers were made on another stream
            for _ in range(WARM_UP):
                step()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                step()
            return graph.replay

    def stream(self) -> AbstractContextManager[Any]:
        """Return the stream of this recorder."""
        return torch.cuda.stream(self._stream)


def recorder_for(device: torch.device) -> Recorder:
    """Return a new recorder of the device's kind."""
    return CudaGraphRecorder(device) if device.type == "cuda" else EagerRecorder()
