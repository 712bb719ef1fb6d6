# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "IU"
# authors = "Z. Izzo, M. A. Smart, K. Chaudhuri, J. Zou; J. Jia et al."
# paper = "https://arxiv.org/abs/2304.04934"
# licence = "Apache-2.0"
# ///
"""Influence unlearning: one Newton-like step to where training without the forget set would have led.

Izzo, Smart, Chaudhuri and Zou 2021, "Approximate Data Deletion from Machine Learning Models", arXiv:2002.10077, in the
WoodFisher form of Jia et al. 2023, "Model Sparsity Can Simplify Machine Unlearning", arXiv:2304.04934;
Deep Unlearn, section 3.2.

Idea: influence functions. θ += ``alpha``·H⁻¹v with v = (1/n)Σ_F ∇ℓ − (n_F/(n·n_R))Σ_R ∇ℓ, n = n_F + n_R, and the damped
empirical Fisher H = I + (1/N)GᵀG, where the rows of G are the gradients of N samples of R.
Reads: R and F. Cost: one pass over R and one over F, two over N samples of R, one of them sample by sample.
Decisions: H⁻¹v is solved exactly, v − Gᵀ(N·I + GGᵀ)⁻¹Gv; the recursion in published code keeps a single vector, which
is no inverse. N = min(``max_samples``, n_R), 1,000 by default. At most two blocks of G of 1 GiB each are held; where G
has more of them, rows are computed again for every pair of blocks rather than N made smaller. Eval mode, so no buffer
changes. The search goes far beyond the default, since the gradients of a network that fits R and F are small.
Defaults: ``alpha`` and N from Jia et al.'s code; Deep Unlearn's has the same.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.utils.data import DataLoader

from sandbox.toolkit import differentiable_eval, sample_gradients, tensors

SEARCH_SPACE = {"alpha": ("log", 1e-1, 1e3)}

BATCH = 256
"""Samples in one batch of an ordinary gradient, which sums over samples and does not depend on it."""

ROOM = 2**28
"""How many numbers (4 bytes each) a block of G may have."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float = 0.2,
    max_samples: int = 1000,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    drawn = torch.randperm(len(kept[1]), device=kept[1].device)[:max_samples]
    step = solve(model, kept[0][drawn], kept[1][drawn], removal(model, kept, forgotten))
    parameters = list(model.parameters())
    with torch.no_grad():
        for p, part in zip(parameters, step.split([p.numel() for p in parameters]), strict=True):
            p.add_(part.view_as(p), alpha=alpha)
    return model


def removal(model: nn.Module, kept: tuple[Tensor, Tensor], forgotten: tuple[Tensor, Tensor]) -> Tensor:
    """v [P]: how the gradient of the mean loss over R ∪ F changes when F is left out, negated."""
    n_kept, n_forgotten = len(kept[1]), len(forgotten[1])
    away = gradient(model, *forgotten, forgotten[0].new_ones(n_forgotten))
    back = gradient(model, *kept, kept[0].new_full((n_kept,), n_forgotten / n_kept))
    return (away - back) / (n_kept + n_forgotten)


def solve(model: nn.Module, images: Tensor, labels: Tensor, v: Tensor, room: int = ROOM) -> Tensor:
    """H⁻¹v [P] with H from the given samples, by the Woodbury identity; ``room`` bounds the numbers in a block of G."""
    n, rows = len(labels), max(1, room // len(v))
    blocks = [slice(start, start + rows) for start in range(0, n, rows)]
    gram, product = v.new_empty(n, n), v.new_empty(n)
    for i, block in enumerate(blocks):
        g = sample_gradients(model, images[block], labels[block])
        product[block] = g @ v
        gram[block, block] = g @ g.T
        for other in blocks[:i]:
            gram[block, other] = g @ sample_gradients(model, images[other], labels[other]).T
            gram[other, block] = gram[block, other].T
    damped = gram.double() + n * torch.eye(n, dtype=torch.double, device=v.device)
    return v - gradient(model, images, labels, torch.linalg.solve(damped, product.double()).to(v))


def gradient(model: nn.Module, images: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """∇ of the sum of ``weights`` [n] times the cross-entropies of the samples, as eval mode computes them: [P]."""
    differentiable_eval(model)
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for x, y, w in zip(images.split(BATCH), labels.split(BATCH), weights.split(BATCH), strict=True):
        loss = w @ F.cross_entropy(model(x), y, reduction="none")
        torch._foreach_add_(total, torch.autograd.grad(loss, parameters))
    return parameters_to_vector(total)
