"""Few-shot relearning: do a few forget examples bring the others back?

Fine-tuning on k examples of F among retained ones, as an owner of the model could do it; what counts is the rest of F.
A retrained model has to learn from k examples what a model that never forgot only has to be reminded of (relearning
attacks: Hu et al. 2024, arXiv:2406.13356; for image classifiers Siddiqui et al. 2025, arXiv:2505.22310).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unlearn_bench.harness.probes import outputs
from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.harness.probes.fine_tuning import fine_tuned

TITLE = "few-shot relearning"
EVIDENCE = outputs.EVIDENCE
RETAINED = 3
"""Retained examples in a batch, per shot."""


def probe(context: ProbeContext) -> dict[str, NDArray[Any]]:
    """Return outputs after each draw's last step; ``shown`` bool [draws, F] says which of F were trained on."""
    forget, settings = context.sample("forget"), context.settings
    shots = min(settings.few_shot_examples, len(forget) // 2)
    rows, shown = [], []
    for _ in range(settings.few_shot_draws):
        drawn = torch.randperm(len(forget), device=forget.device)[:shots]
        batches = _batches(context, forget[drawn])
        (model,) = fine_tuned(context, context.model, batches, [settings.few_shot_steps])
        rows.append(outputs.outputs(context, model))
        shown.append(np.isin(np.arange(len(forget)), drawn.cpu().numpy()))
    return {**outputs.stacked(context, rows), "shown": np.stack(shown)}


def _batches(context: ProbeContext, shots: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of all shots and RETAINED times as many retained examples, which are drawn anew each time."""
    retain = context.parts["retain"]
    while True:
        drawn = torch.randperm(len(retain), device=retain.device)[: RETAINED * len(shots)]
        batch = torch.cat([shots, retain[drawn]])
        yield context.images[batch], context.labels[batch]


def numbers(arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return what outputs say about the rest of F, as means over the draws."""
    draws = [outputs.found(arrays, row, ~shown) for row, shown in enumerate(arrays["shown"])]
    return {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
