"""Influence unlearning with the Hessian's stand-in written out and solved (Jia et al. 2023, section 3).

The recursion in OPTML-Group/Unlearn-Sparse, unlearn/Wfisher.py, keeps one vector, which is no inverse. So what is
restated here is the matrix that it is meant to invert, by ordinary autograd, one sample at a time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


def unlearn(model: nn.Module, retain: Any, forget: Any, val: Any, *, alpha: float) -> nn.Module:
    model.eval()
    kept, forgotten = slopes(model, retain), slopes(model, forget)
    n = len(kept) + len(forgotten)
    v = forgotten.sum(0) / n - len(forgotten) / (n * len(kept)) * kept.sum(0)
    hessian = torch.eye(len(v)).to(v) + kept.T @ kept / len(kept)
    moved = parameters_to_vector(model.parameters()).detach() + alpha * torch.linalg.solve(hessian, v)
    vector_to_parameters(moved, model.parameters())
    return model


def slopes(model: nn.Module, loader: Any) -> Tensor:
    """The gradient of every sample's cross-entropy, [n, P]."""
    rows = []
    for image, label in ((x, y) for images, labels in loader for x, y in zip(images, labels, strict=True)):
        loss = F.cross_entropy(model(image[None]), label[None])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    return torch.stack(rows)
