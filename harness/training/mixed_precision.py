"""bfloat16 copies of the weights that mixed precision multiplies, made all at once instead of one at every use.

Autocast casts each weight of each layer where it is used, and each gradient back: on a GPU these are more than forty
of the three hundred kernels of a ResNet18's step. The numbers are the same.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.grouped import GroupedLinear

CAST = nn.Conv2d, nn.Linear, GroupedLinear
"""Layers whose products autocast takes in bfloat16."""


def uses_bfloat16(recipe: Recipe, device: torch.device) -> bool:
    """Return whether the recipe allows bfloat16 and the device computes in it; emulated, it is several times slower."""
    if recipe.precision != "bfloat16":
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Bfloat16Copies:
    """A twin of a network: the weights of its products are bfloat16 copies, everything else is shared.

    Attributes:
        network: the twin, which computes.
        weights: of the first network, in float32; the optimizer changes them.
        copies: of ``weights``, in bfloat16.
    """

    def __init__(self, network: nn.Module) -> None:
        self.weights: list[Tensor] = []
        self.copies: list[Tensor] = []
        self.network = self._twin(network)
        self._gradients: list[Tensor] = []

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the float32 weights again."""
        torch._foreach_copy_(self.copies, self.weights)

    @torch.no_grad()
    def move_gradients(self) -> None:
        """Move the gradients of the copies to the float32 weights."""
        if not self._gradients:  # made at the first use, which a compiled step never comes to
            self._gradients = [torch.empty_like(weight) for weight in self.weights]
        torch._foreach_copy_(self._gradients, [copied.grad for copied in self.copies if copied.grad is not None])
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
