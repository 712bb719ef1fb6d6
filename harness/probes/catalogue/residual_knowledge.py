"""Residual knowledge: is F recognised in its neighbourhood where Retrain fails (Hsu et al. 2025, arXiv:2601.22359)?

The paper's quantity for an example (x, y) is the ratio of two probabilities over perturbed inputs x' around x: that
the unlearned model says y, and that the retrained model does; above 1 there is residual knowledge. Here x' is x with
normal noise of some standard deviations on the normalised image, the same draws for all models. The headline is the
mean over F of the logarithm of the ratio of counts, each with one half added, since a retrained model may never be
right. Where F is random, the same mean over unseen examples is subtracted: a model that is better than Retrain
everywhere knows nothing of F.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unlearn_bench.harness.probes.context import ProbeContext

TITLE = "residual knowledge"
UNIT = "log ratio"
EVIDENCE = "residual"


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return how often each example is recognised: int [sizes of noise, examples], by model and side."""
    counts: dict[str, NDArray[Any]] = {}
    for side in ("forget", "unseen"):
        rows = context.sample(side)[: len(context.parts["forget"])]
        noise = torch.randn(context.settings.noise_draws, *context.images[rows].shape, device=context.device)
        for name, model in (("model", context.model), ("retrained", context.retrained)):
            counts[f"{side}_{name}"] = _recognised(context, model, rows, noise)
    draws, forgets_class = np.array(context.settings.noise_draws), np.array(context.forgets_class)
    return {**counts, "noise": np.array(context.settings.noise), "draws": draws, "forgets_class": forgets_class}


def _recognised(context: ProbeContext, model: nn.Module, rows: Tensor, noise: Tensor) -> NDArray[np.uint8]:
    """Return in how many draws each example's class is given, [sizes, examples]."""
    counts = []
    for size in context.settings.noise:
        answers = context.answers(model, (context.images[rows] + size * noise).flatten(0, 1)).argmax(1)
        counts.append((answers.view(len(noise), -1) == context.labels[rows]).sum(0))
    return torch.stack(counts).to(torch.uint8).cpu().numpy()


def numbers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return ``residual``, the mean log ratio, at all sizes of noise together and at each, and ``prevalence``.

    ``prevalence`` is the share of F and sizes of noise with a ratio above 1.
    """
    residual = log_ratios(arrays["forget_model"], arrays["forget_retrained"]).mean(axis=1)
    if not arrays["forgets_class"]:
        residual = residual - log_ratios(arrays["unseen_model"], arrays["unseen_retrained"]).mean(axis=1)
    prevalence = (arrays["forget_model"] > arrays["forget_retrained"]).mean()
    each = {f"residual_{size:g}": float(value) for size, value in zip(arrays["noise"], residual, strict=True)}
    return {"residual": float(residual.mean()), "prevalence": float(prevalence), **each}


def log_ratios(model: NDArray[Any], retrained: NDArray[Any]) -> NDArray[np.float64]:
    """Return log((a + ½) / (b + ½)) of counts a and b of one shape."""
    return np.log(model + 0.5) - np.log(retrained + 0.5)
