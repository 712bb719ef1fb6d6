# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "Original"
# authors = "unlearn-bench"
# paper = "https://arxiv.org/abs/2410.01276"
# licence = "Apache-2.0"
# kind = "reference"
# ///
"""Reference row: return the original model as it is.

Deep Unlearn, section 2: the floor that unlearning must rise above; its time is what the harness itself costs.

Idea: none.
Reads: nothing. Cost: 0 passes.
"""

from typing import Any

from torch import nn
from torch.utils.data import DataLoader


def unlearn(model: nn.Module, retain: DataLoader[Any], forget: DataLoader[Any], val: DataLoader[Any]) -> nn.Module:
    return model
