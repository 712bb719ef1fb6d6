"""Outputs on F and on unseen examples after a probe has treated a model, and the numbers that follow from them.

Where a whole class is forgotten, the question is whether the model knows it: the share of F that it recognises. Where
F is random, a retrained model knows F as well as it knows unseen examples, so the question is whether F can be told
from these; a model that is damaged on both gives nothing away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unlearn_bench.harness.probes.context import ProbeContext
from unlearn_bench.scoring.accuracy import margins
from unlearn_bench.scoring.attacks.rmia import auc
from unlearn_bench.scoring.temperature import scaled

EVIDENCE = ("recall", "membership")
"""Of probes that end with outputs; see :func:`found`."""
Arrays = Mapping[str, NDArray[Any]]


def outputs(context: ProbeContext, model: nn.Module) -> dict[str, NDArray[Any]]:
    """Return what a model in eval mode makes of the sampled F and unseen examples; see :func:`described`.

    As before every attack, confidence is taken out of the logits by V, so that rescaling them gains nothing.
    """
    rows = torch.cat([context.sample(name) for name in ("forget", "unseen", "val")])
    asked = len(rows) - len(context.sample("val"))
    logits, labels = context.logits(model, rows).cpu().numpy(), context.labels[rows].cpu().numpy()
    values = scaled(logits, labels, np.arange(asked, len(rows))).logits[:asked]
    return described(context, torch.from_numpy(values), context.labels)


def described(context: ProbeContext, logits: Tensor, targets: Tensor) -> dict[str, NDArray[Any]]:
    """Return φ (float32) and whether the answers are right (bool), of F and of unseen examples, from these logits.

    Args:
        context: what the logits are of.
        logits: [k, classes] on the sampled F and then the sampled unseen examples.
        targets: int64 [n], the right answers of all examples.
    """
    forget, unseen = (context.sample(name) for name in ("forget", "unseen"))
    right = targets[torch.cat([forget, unseen])]
    hits = (logits.argmax(1).to(right.device) == right).cpu().numpy()
    phi = margins(logits.double().cpu().numpy(), right.cpu().numpy()).astype(np.float32)
    named = {"phi": phi, "hits": hits}
    return {
        f"{side}_{name}": values[part]
        for name, values in named.items()
        for side, part in (("forget", slice(len(forget))), ("unseen", slice(len(forget), None)))
    }


def stacked(context: ProbeContext, rows: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    """Return outputs of several treatments as arrays [treatments, examples], and what :func:`found` must know."""
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {**arrays, "forgets_class": np.array(context.forgets_class)}


def found(arrays: Arrays, row: int, counted: NDArray[np.bool_] | None = None) -> dict[str, float]:
    """Return what a treatment's outputs say about F, the headline first.

    ``recall`` where classes are forgotten: the share of F that is recognised. Otherwise ``membership``, the area under
    the ROC curve of φ on F against φ on unseen examples (.5 is chance), and ``accuracy`` on F.

    Args:
        arrays: from :func:`stacked`.
        row: the treatment.
        counted: [F], which of F count; default: all.
    """
    forget = slice(None) if counted is None else counted
    accuracy = float(arrays["forget_hits"][row][forget].mean())
    if arrays["forgets_class"]:
        return {"recall": accuracy}
    return {"membership": auc(arrays["forget_phi"][row][forget], arrays["unseen_phi"][row]), "accuracy": accuracy}
