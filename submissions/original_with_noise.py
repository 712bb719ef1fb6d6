# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "Original + noise"
# authors = "unlearn-bench"
# paper = ""
# licence = "Apache-2.0"
# ///
"""A control: add noise to every weight of the original and read no data.

It forgets nothing on purpose. Whatever an attack no longer finds here, noise alone hides from it, and a method must do
better at the same accuracy.

Reads: nothing. Cost: none.
Decisions: the noise of a weight is N(0, s²), where s is ``scale`` times the root mean square of its tensor, so every
layer is disturbed in proportion. A tensor of zeros stays, and so do buffers.
Defaults: ours.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

SEARCH_SPACE = {"scale": ("log", 1e-3, 1.0)}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    scale: float = 0.1,
) -> nn.Module:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * weight.square().mean().sqrt(), alpha=scale)
    return model
