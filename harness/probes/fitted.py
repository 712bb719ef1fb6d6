"""What probes that fit something to features are fitted on, and what is read from the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from unlearn_bench.harness.probes import outputs
from unlearn_bench.harness.probes.context import ProbeContext

ITERATIONS = 50
"""Of L-BFGS, by which the loss no longer changes in its third digit."""


def fitting_set(context: ProbeContext) -> tuple[Tensor, Tensor]:
    """Return the indices of the examples to fit on, and the right answers int64 [n] of all examples.

    Where classes are forgotten, these are samples of R and F with their (sub)classes, otherwise of R with its labels.
    """
    retain = context.sample("retain")
    if context.forgets_class:
        return torch.cat([retain, context.sample("forget")]), context.subclasses
    return retain, context.labels


def found(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the recall of unseen examples of forgotten classes, or how well F is told from unseen examples."""
    if arrays["forgets_class"]:
        return {"recall": float(arrays["unseen_hits"].mean())}
    return outputs.found(arrays, 0)


def logistic_regression(inputs: Tensor, targets: Tensor, classes: int, penalty: float) -> Tensor:
    """Return the weights [d + 1, classes] of multinomial logistic regression, the last row being the bias.

    The minimum of the summed cross-entropy plus ``penalty`` · ‖W‖² / 2 without the bias, as scikit-learn's with
    C = 1 / penalty, found by L-BFGS on the inputs' device in float64.

    Args:
        inputs: [n, d], standardised.
        targets: int64 [n].
        classes: how many there are; some may have no example.
        penalty: positive.
    """
    rows = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1).double()
    weights = rows.new_zeros(rows.shape[1], classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(rows @ weights, targets, reduction="sum") + penalty * weights[:-1].square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().to(inputs.dtype)
