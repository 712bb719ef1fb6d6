"""Quantisation: does lower precision of the weights bring F back (Zhang et al. 2024, arXiv:2410.16454)?

A method that moves weights only a little lies in the same cell of a coarse grid as the model before it. Weights are
rounded and everything is computed in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unlearn_bench.harness.probes import outputs
from unlearn_bench.harness.probes.context import ProbeContext

TITLE = "quantisation"
EVIDENCE = outputs.EVIDENCE


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return outputs at full precision, and then at each of ``bits``."""
    models = [context.model, *(quantised(context.copy(context.model), bits) for bits in context.settings.bits)]
    rows = [outputs.outputs(context, model) for model in models]
    return {**outputs.stacked(context, rows), "bits": np.array(context.settings.bits)}


def numbers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return what outputs say about F at the most telling precision, what comes back, and the headline at each."""
    full, *rounded = (outputs.found(arrays, row) for row in range(len(arrays["forget_hits"])))
    headline = next(iter(full))
    worst = max(rounded, key=lambda row: row[headline])
    each = {f"{headline}_{bits}": row[headline] for bits, row in zip(arrays["bits"], rounded, strict=True)}
    return {**worst, "returned": worst[headline] - full[headline], **each}


@torch.no_grad()
def quantised(model: nn.Module, bits: int) -> nn.Module:
    """Round the weights of a model in place, and return it; 32 bits change nothing.

    16 bits are half precision, of all parameters and statistics. Fewer are integers in −2^(bits−1)+1 … 2^(bits−1)−1,
    with a scale for each output channel of matrices and convolutions; vectors stay, as is usual.
    """
    for tensor in model.state_dict().values():
        if bits == 16 and tensor.is_floating_point():
            tensor.copy_(tensor.clamp(-HALF_MAX, HALF_MAX).half())
        elif bits < 16 and tensor.ndim > 1:
            tensor.copy_(_rounded(tensor, bits))
    return model


HALF_MAX = torch.finfo(torch.float16).max


def _rounded(tensor: Tensor, bits: int) -> Tensor:
    scale = tensor.flatten(1).abs().amax(1) / (2 ** (bits - 1) - 1)
    scale = scale.clamp(min=torch.finfo(tensor.dtype).tiny).view(-1, *[1] * (tensor.ndim - 1))
    return (tensor / scale).round() * scale
