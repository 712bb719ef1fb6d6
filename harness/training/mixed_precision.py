"""bfloat16 copies of the weights that mixed precision multiplies, made all at once instead of one at every use.

Autocast casts each weight of each layer where it is used, and each gradient back: on a GPU more than forty kernels of a
ResNet18's three hundred. The numbers are the same.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unlearn_bench.harness.training.grouped import GroupedLinear

CAST = nn.Conv2d, nn.Linear, GroupedLinear
"""Layers whose products autocast takes in bfloat16."""


class Lowered:
    """A network that shares all but those weights with another one, which keeps them in float32."""

    def __init__(self, network: nn.Module) -> None:
        self.weights: list[Tensor] = []
        """Of the other network, in float32: what an optimizer changes."""
        self.copies: list[Tensor] = []
        self.network = self._twin(network)
        self._gradients: list[Tensor] = []

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the weights of the other network."""
        torch._foreach_copy_(self.copies, self.weights)

    @torch.no_grad()
    def give_gradients(self) -> None:
        """Move the gradients to the float32 weights."""
        if not self._gradients:  # which `update` does without
            self._gradients = [torch.empty_like(weight) for weight in self.weights]
        found = [copied.grad for copied in self.copies if copied.grad is not None]
        torch._foreach_copy_(self._gradients, found)
        for weight, gradient, copied in zip(self.weights, self._gradients, self.copies, strict=True):
            weight.grad, copied.grad = gradient, None

    def _twin(self, network: nn.Module) -> nn.Module:
        twin = copy.copy(network)  # shares the dictionary of buffers
        if isinstance(network, CAST):
            twin._parameters = {name: self._copied(weight) for name, weight in network._parameters.items()}
        twin._modules = {name: None if child is None else self._twin(child) for name, child in network._modules.items()}
        return twin

    def _copied(self, weight: nn.Parameter | None) -> nn.Parameter | None:
        if weight is None:
            return None
        copied = nn.Parameter(weight.detach().to(torch.bfloat16))
        self.weights.append(weight)
        self.copies.append(copied)
        return copied


@torch.no_grad()
def update(
    weights: list[Tensor],
    copies: list[Tensor],
    momenta: list[Tensor],
    gradients: list[Tensor],
    rate: Tensor | float,
    momentum: float,
    decay: float,
) -> None:
    """A step as ``torch.optim.SGD`` takes it, for ``torch.compile`` to fuse with the casts.

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
