"""Relearning on R: does fine-tuning on retained examples alone bring F back (Siddiqui et al. 2025, arXiv:2505.22310)?

A retrained model that is trained a little longer on R learns nothing about F. A model in which F is merely suppressed
recovers it, although it sees no forget example. F's accuracy and loss are taken along the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.probes import outputs
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.fine_tuning import fine_tuned
from unlearn_bench.sandbox.toolkit import Batches, forever

TITLE = "relearning on R"
EVIDENCE = outputs.EVIDENCE
PAUSES = 4
"""How often outputs are taken on the way."""


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return outputs before and along the steps; ``steps`` [rows] says after how many."""
    retain, steps = context.parts["retain"], context.settings.relearning_steps
    pauses = sorted({max(1, round(steps * part / PAUSES)) for part in range(1, PAUSES + 1)})
    batches = forever(Batches(context.images[retain], context.labels[retain], batch_size=context.recipe.batch_size))
    along = fine_tuned(context, context.model, batches, pauses)
    rows = [outputs.outputs(context, model) for model in chain([context.model], along)]
    return {**outputs.stacked(context, rows), "steps": np.array([0, *pauses])}


def numbers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return what outputs say about F after the last step, before the first one, and F's loss in nats at both."""
    before, after = (outputs.found(arrays, row) for row in (0, -1))
    losses = np.logaddexp(0.0, -arrays["forget_phi"].astype(np.float64)).mean(axis=1)
    return {
        **after,
        **{f"{name}_before": value for name, value in before.items()},
        "loss": float(losses[-1]),
        "loss_before": float(losses[0]),
    }
