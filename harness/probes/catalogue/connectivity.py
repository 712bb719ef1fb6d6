"""Linear mode connectivity and distance: do the weights lie where Original's lie (Siddiqui et al. 2025)?

The loss barrier on the line between the model and another one is how far the loss on R rises above the straight line
between both ends (Frankle et al. 2020, arXiv:1912.05671). arXiv:2505.22310 predicts from it, and from the distance of
the weights, how easily a model relearns. Statistics of batch norm are taken anew from R at every point, both ends
included, without which every line has a barrier (Jordan et al. 2023, arXiv:2211.08403). No evidence of knowledge: every
method that changes little is connected, with or without F.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.scoring.distances import weight_distance

TITLE = "linear mode connectivity"
UNIT = "nats"
EXAMPLES = 512
"""The most of R and of F; losses at many points need no more."""


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return losses in nats on R and F along both lines, [points], and the normalised distances of the weights."""
    shares, arrays = np.linspace(0, 1, context.settings.points), dict[str, NDArray[Any]]()
    weights, start = _numpy(context.model), losses_between(context, context.model, context.model, 0.0)
    for name, other in (("original", context.original), ("retrained", context.retrained)):
        losses = [start, *(losses_between(context, context.model, other, float(share)) for share in shares[1:])]
        arrays[f"{name}_retain"], arrays[f"{name}_forget"] = np.array(losses).T
        arrays[f"{name}_distance"] = np.array(weight_distance(weights, _numpy(other)))
    return {**arrays, "shares": shares}


def numbers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the barriers on R to Original and Retrain in nats, and the normalised distances of the weights."""
    barriers = {f"barrier_{name}": barrier(arrays[f"{name}_retain"]) for name in ("original", "retrained")}
    return {**barriers, **{f"distance_{name}": float(arrays[f"{name}_distance"]) for name in ("original", "retrained")}}


def barrier(losses: NDArray[Any]) -> float:
    """Return how far losses at equally spaced points [k] rise above the line between first and last; at least 0."""
    return float((losses - np.linspace(losses[0], losses[-1], len(losses))).max())


@torch.no_grad()
def losses_between(context: ProbeContext, first: nn.Module, second: nn.Module, share: float) -> tuple[float, float]:
    """Return the mean losses in nats on R and F of the model at ``share`` of the way, with its batch norm set for R."""
    model, states = context.copy(first), second.state_dict()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(tensor.lerp(states[name], share))
    retain, forget = (context.sample(part, EXAMPLES) for part in ("retain", "forget"))
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
            module.train()
    logits = context.logits(model, retain)
    model.eval()
    rows = ((retain, logits), (forget, context.logits(model, forget)))
    on_retain, on_forget = (float(cross_entropy(answers, context.labels[part])) for part, answers in rows)
    return on_retain, on_forget


def _numpy(model: nn.Module) -> dict[str, NDArray[Any]]:
    return {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()}
