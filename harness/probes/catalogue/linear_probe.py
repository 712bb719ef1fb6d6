"""A linear probe: what can a new classifier read from the features (Gao et al. 2026, arXiv:2604.08271)?

Methods that only misalign features and classifier look as if they had forgotten; a classifier that is fitted anew on
the penultimate features sees what is left. Where classes are forgotten, it is fitted on R and F with all (sub)classes,
and must recognise unseen examples of the forgotten ones: their recall. A retrained model's features serve for that to
some extent, too, which is the null. Where F is random, it is fitted on R, and F is told from unseen examples by φ.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray

from unlearn_bench.harness.probes import outputs
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.fitted import fitting_set, found, logistic_regression

TITLE = "linear probe"
EVIDENCE = outputs.EVIDENCE
numbers = found


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return the outputs of the fitted classifier on F and on unseen examples."""
    fitted, targets = fitting_set(context)
    asked = torch.cat([context.sample("forget"), context.sample("unseen")])
    features = context.features(context.model, fitted)
    mean, deviation = features.mean(0), features.std(0).clamp(min=1e-6)
    inputs, queries = ((rows - mean) / deviation for rows in (features, context.features(context.model, asked)))
    weights = logistic_regression(inputs, targets[fitted], int(targets.max()) + 1, context.settings.penalty)
    logits = torch.cat([queries, queries.new_ones(len(queries), 1)], 1) @ weights
    return outputs.stacked(context, [outputs.described(context, logits, targets)])
