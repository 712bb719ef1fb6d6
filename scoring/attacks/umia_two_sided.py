"""Two-sided U-MIA: a shallow decision tree in the place of U-MIA's logistic regression.

A method that pushes some forget losses below and others above those of test examples leaves a logistic regression
with nothing to call, since it knows one threshold only. A tree of depth 2 can call an interval and its complement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoring.evidence import ModelEvidence
from scoring.folds import Values, checked, cross_validated
from scoring.umia import indiscernibility

TITLE = "U-MIA, two-sided"
DEPTH = 2
LEAF = 0.05
"""Of the training examples. It keeps single outliers from being learnt: on real losses the null is .49–.50 at every
depth up to 3, and a deeper tree only finds less."""


def attack(model: ModelEvidence) -> dict[str, float]:
    """``accuracy`` in [0, 1] (0.5 is chance) and ``indisc`` = 1 − |2·accuracy − 1|."""
    losses = model.losses
    accuracy = umia_two_sided(losses[model.parts["forget"]], losses[model.unseen], model.seed)
    return {"accuracy": accuracy, "indisc": indiscernibility(accuracy)}


def umia_two_sided(forget: ArrayLike, unseen: ArrayLike, seed: int = 0) -> float:
    """As ``scoring.umia.umia``, with its chunks, folds and errors, but any two thresholds on the loss.

    The tree splits ranks, so the result is the same for losses, φ and any other increasing function of them.
    """
    sides = checked(forget, unseen)
    ranks = np.unique(np.concatenate(sides), return_inverse=True)[1].astype(np.float64)
    return cross_validated(ranks[: sides[0].size], ranks[sides[0].size :], _trees, seed)


def _trees(both: Values, held_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.stack([tree(both[:, ~fold])(both) for fold in held_out])


def tree(training: Values) -> Callable[[Values], NDArray[np.bool_]]:
    """A CART tree on one feature (Gini impurity), as scikit-learn grows it; row 0 of [2, n] is what it calls ``True``.

    With one feature the leaves are intervals: a rule is its thresholds and an answer for each interval between them.
    """
    order = np.argsort(training.ravel(), kind="stable")
    values, own = training.ravel()[order], order < training.shape[1]
    before = np.concatenate(([0], np.cumsum(own)))
    ends = [*_cuts(values, before, 0, values.size, DEPTH, math.ceil(LEAF * values.size)), values.size]
    starts = [0, *ends[:-1]]
    thresholds = np.array([(values[cut - 1] + values[cut]) / 2 for cut in ends[:-1]])
    answers = np.array([2 * (before[b] - before[a]) > b - a for a, b in zip(starts, ends, strict=True)])
    return lambda seen: np.asarray(answers[np.searchsorted(thresholds, seen)])


def _cuts(values: Values, before: NDArray[np.int64], start: int, end: int, depth: int, leaf: int) -> Iterator[int]:
    """Where the sorted ``values`` fall apart into leaves; ``before[i]`` of the first i are of the first side."""
    total, size = before[end] - before[start], end - start
    if depth == 0 or size < 2 * leaf or total in (0, size):
        return
    places = np.arange(start + leaf, end - leaf + 1)
    places = places[values[places - 1] < values[places]]
    if places.size == 0:
        return
    left, own = places - start, before[places] - before[start]
    right, others = size - left, total - own
    purity = (own**2 + (left - own) ** 2) / left + (others**2 + (right - others) ** 2) / right
    cut = int(places[purity.argmax()])
    yield from _cuts(values, before, start, cut, depth - 1, leaf)
    yield cut
    yield from _cuts(values, before, cut, end, depth - 1, leaf)
