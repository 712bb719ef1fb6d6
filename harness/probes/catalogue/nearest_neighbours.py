"""Nearest neighbours: with whom does an example lie in the space of penultimate features?

As the linear probe, without any fit: the k nearest examples by cosine vote for their classes, a measure of structure
that a linear map cannot hide. Where classes are forgotten, R and F vote on unseen examples of the forgotten
(sub)classes; where F is random, R votes on F and on unseen examples (k-NN evaluation of features: Wu et al. 2018,
arXiv:1805.01978).
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from unlearn_bench.harness.probes import outputs
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.fitted import fitting_set, found

TITLE = "nearest neighbours"
EVIDENCE = outputs.EVIDENCE
TEMPERATURE = 0.07
"""Of the votes, exp(cosine / temperature), as in the paper."""
numbers = found


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return the outputs of the vote on F and on unseen examples."""
    voters, targets = fitting_set(context)
    asked = torch.cat([context.sample("forget"), context.sample("unseen")])
    known, queries = (context.features(context.model, indices) for indices in (voters, asked))
    shares = votes(queries, known, targets[voters], int(targets.max()) + 1, context.settings.neighbours)
    return outputs.stacked(context, [outputs.described(context, shares.clamp(min=1e-6).log(), targets)])


def votes(queries: Tensor, known: Tensor, classes: Tensor, count: int, neighbours: int) -> Tensor:
    """Return the shares [q, count] of the classes in the votes on each query.

    Args:
        queries: features [q, d].
        known: features [k, d] of the voters.
        classes: int64 [k] of the voters.
        count: how many classes there are.
        neighbours: how many voters each query has.
    """
    cosines = normalize(queries) @ normalize(known).T
    nearest = cosines.topk(min(neighbours, len(known)), dim=1)
    weights = (nearest.values / TEMPERATURE).softmax(1)
    return (weights[:, :, None] * one_hot(classes[nearest.indices], count)).sum(1)
