"""The compiled training step of a GPU: when it pays, what prevents it, and how it runs.

On an H200 it saves 28 % of the time of a single ResNet18 (0.315 → 0.227 s an epoch) and 10 % with eight in
flight (0.149 → 0.134); ``tests/benchmarks/README.md`` has the runs. Everything else works without this module: the
other modules only pass on whether steps are to be compiled.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.harness.training.memory import out_of_memory
from unlearn_bench.harness.training.step import TrainingLoop

WORTH = 300.0
"""Seconds of training per device from which on a step is compiled, which takes 20 to 40 seconds."""


def obstacle(device: str) -> str | None:
    """Return what this machine is missing for ``torch.compile`` on a GPU, or ``None``.

    Triton and a C compiler make its kernels.
    """
    from torch.utils._triton import has_triton_package

    if torch.cuda.get_device_capability(device) < (7, 0):
        return "the GPU is too old for Triton"
    if not has_triton_package():
        return "Triton is not installed"
    if not any(shutil.which(name) for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name):
        return "there is no C compiler"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there is no Python.h (Debian: python3-dev)"
    return None


class CompiledLoop(TrainingLoop):
    """A training loop whose steps ``torch.compile`` fuses: loss and gradients in one part, the update in another."""

    def _prepare(self) -> None:
        for weight in self.network.parameters():  # `sgd_update` reads it before the first step
            self._optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    def _loss(self, size: int) -> Tensor:
        loss: Tensor = _compiled(TrainingLoop._loss)(self, size)
        return loss

    def _update(self) -> None:
        weights, copies = (self._copies.weights, self._copies.copies) if self._copies is not None else ([], [])
        others = [weight for weight in self.network.parameters() if weight.grad is not None]
        momenta = [self._optimizer.state[weight]["momentum_buffer"] for weight in [*weights, *others]]
        gradients = [weight.grad for weight in [*copies, *others]]
        recipe, rate = self._recipe, self._recipe.lr if self._rate is None else self._rate
        arguments = [*weights, *others], copies, momenta, gradients, rate, recipe.momentum, recipe.weight_decay
        _compiled(sgd_update)(*arguments)
        for copied in copies:
            copied.grad = None


@torch.no_grad()
def sgd_update(
    weights: list[Tensor],
    copies: list[Tensor],
    momenta: list[Tensor],
    gradients: list[Tensor],
    rate: Tensor | float,
    momentum: float,
    decay: float,
) -> None:
    """Take a step of ``torch.optim.SGD``, written out so that ``torch.compile`` can fuse it with the casts.

    Args:
        weights: changed in place, like ``momenta``.
        copies: in bfloat16, of the first ones of ``weights``.
        momenta: of all weights; zeros before the first step.
        gradients: of all weights, those of ``copies`` in bfloat16.
        rate: the learning rate.
        momentum: factor of the last step.
        decay: of the weights.
    """
    change = torch._foreach_mul(weights, decay)
    torch._foreach_add_(change, gradients)
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_add_(momenta, change)
    torch._foreach_sub_(weights, torch._foreach_mul(momenta, rate))
    if copies:
        torch._foreach_copy_(copies, weights[: len(copies)])


def compiled_loops(
    make: Callable[[type[TrainingLoop]], TrainingLoop], say: Callable[[str], None]
) -> Callable[[], TrainingLoop]:
    """Return a function that makes compiled loops, and plain ones once a loop could not be compiled.

    Args:
        make: makes a loop of the class that it is given.
        say: called with the reason if steps cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException

    torch._dynamo.reset()  # it keeps eight compiled functions at most, and recorded ones no longer need it
    loop_class: type[TrainingLoop] = CompiledLoop

    def loop() -> TrainingLoop:
        nonlocal loop_class
        try:
            return make(loop_class)
        except TorchDynamoException as error:
            if out_of_memory(error):
                raise
            loop_class = TrainingLoop
            reason = " ".join(str(error).split())[:200]
            say(f"the step cannot be compiled and runs as it is: {reason}")
        return make(loop_class)

    return loop


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function once for all loops; batches have two sizes, and kernels for any size are slower."""
    return torch.compile(function, dynamic=False, fullgraph=True)
