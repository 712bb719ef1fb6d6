"""CKA: how much do the features resemble those of Original, and those of Retrain (Kornblith et al. 2019)?

Linear centred kernel alignment of penultimate features, from 0 to 1, on F and on T. It compares geometries and does
not change under rotations. No evidence of knowledge: whatever starts at Original and changes little is close to it,
with or without F. On few examples the number is biased upward, for all models alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unlearn_bench.harness.probes.context import ProbeContext

TITLE = "CKA"


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return the similarities, and first how much nearer F is to Original than to Retrain: about 0 if retrained."""
    similarity: dict[str, NDArray[Any]] = {}
    for part in ("forget", "test"):
        rows = context.sample(part)
        features = context.features(context.model, rows)
        for name, other in (("original", context.original), ("retrained", context.retrained)):
            similarity[f"{name}_{part}"] = np.array(linear_cka(features, context.features(other, rows)))
    nearer = similarity["original_forget"] - similarity["retrained_forget"]
    return {"nearer_original": np.array(nearer), **similarity}


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Return ‖Yᵀ X‖² / (‖Xᵀ X‖ · ‖Yᵀ Y‖) of centred features X [n, d] and Y [n, e] (Kornblith et al., section 3.3).

    Constant features resemble nothing: 0.
    """
    x, y = (features.double() - features.double().mean(0) for features in (first, second))
    size = torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y)
    return float(torch.linalg.norm(y.T @ x) ** 2 / size) if size > 0 else 0.0
