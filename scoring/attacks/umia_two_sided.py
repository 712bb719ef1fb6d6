"""Two-sided U-MIA: a shallow decision tree in the place of U-MIA's logistic regression.

A method that pushes some forget losses below and others above those of test examples leaves a logistic regression
with nothing to call, since it knows one threshold only. A tree of depth 2 can call an interval and its complement.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unlearn_bench.scoring.cross_validation import Values, checked, cross_validated
from unlearn_bench.scoring.evidence import ModelEvidence
from unlearn_bench.scoring.umia import indiscernibility

Counts = NDArray[np.int64]

TITLE = "two-sided U-MIA"
EVIDENCE = "accuracy"
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
    """Attack as ``scoring.umia.umia`` does, with its chunks, folds and errors, but with any two thresholds on the loss.

    The tree splits ranks, so the result is the same for losses, φ and any other increasing function of them.
    """
    sides = checked(forget, unseen)
    ranks = np.unique(np.concatenate(sides), return_inverse=True)[1].astype(np.float64)
    return cross_validated(ranks[: sides[0].size], ranks[sides[0].size :], trees, seed)


def trees(sides: Values, held_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Call what each of k trees takes for the first side's, [k, 2, n], of values [2, n]: those of row 0.

    Tree i is CART on one feature (Gini impurity), as scikit-learn grows it, without ``held_out[i]`` [k, n] of either
    row. With one feature the leaves are intervals of the sorted values: a tree is its cuts, and what each interval
    between them is called.
    """
    order = np.argsort(sides.ravel(), kind="stable")
    counted = np.tile(~held_out, 2)[:, order]
    forest = _Forest(sides.ravel()[order], counted, _sums(counted), _sums(counted & (order < sides.shape[1])))
    start = np.zeros(len(counted), dtype=np.int64)
    cuts = np.sort(forest.grow(start, np.full_like(start, order.size), DEPTH), axis=1)
    called = np.empty_like(counted)
    called[:, order] = forest.called(cuts)
    return called.reshape(len(called), *sides.shape)


def _sums(which: NDArray[np.bool_]) -> Values:
    """How many of the first i are ``which`` [k, N], for i = 0 … N: [k, N + 1]."""
    sums = np.zeros((len(which), which.shape[1] + 1))
    np.cumsum(which, axis=1, out=sums[:, 1:])
    return sums


@dataclass(frozen=True)
class _Forest:
    """k trees on the same N sorted values, each grown on those that are ``counted`` [k, N].

    A cut is the index of the first counted value behind it; N is no cut.
    """

    values: Values
    counted: NDArray[np.bool_]
    size: Values
    """How many of the first i values are counted, [k, N + 1]."""
    first_side: Values
    """How many of those are of the first side."""

    @cached_property
    def before(self) -> Values:
        """The last counted value before each one, −∞ where there is none: [k, N]."""
        last_counted = np.full(self.counted.shape, -np.inf)
        last_counted[:, 1:] = np.maximum.accumulate(np.where(self.counted, self.values, -np.inf), axis=1)[:, :-1]
        return last_counted

    @cached_property
    def apart(self) -> NDArray[np.bool_]:
        """Where a cut can be: between two different values, [k, N]."""
        return self.counted & (self.before < self.values)

    @cached_property
    def leaf(self) -> Values:
        """The least counted values of a leaf, [k, 1]."""
        return np.ceil(LEAF * self.size[:, -1:])

    def grow(self, start: Counts, end: Counts, depth: int) -> Counts:
        """Cuts [k, 2^depth − 1] of each tree between two of its cuts [k]."""
        cut = self._best(start, end)
        if depth == 1:
            return cut[:, None]
        uncut = cut == self.values.size  # then its halves cannot be cut either
        left = self.grow(start, np.where(uncut, start, cut), depth - 1)
        return np.column_stack((left, cut, self.grow(cut, end, depth - 1)))

    def _best(self, start: Counts, end: Counts) -> Counts:
        """Find the purest cut of each tree between ``start`` and ``end``: the first of equals, N without one."""
        rows = np.arange(len(start))
        counted_before, counted_until = (self.size[rows, at][:, None] for at in (start, end))
        first_side_before, first_side_until = (self.first_side[rows, at][:, None] for at in (start, end))
        left, left_first = self.size[:, :-1] - counted_before, self.first_side[:, :-1] - first_side_before
        right, right_first = counted_until - self.size[:, :-1], first_side_until - self.first_side[:, :-1]
        possible = self.apart & (left >= self.leaf) & (right >= self.leaf)
        purity = _purity(left, left_first) + _purity(right, right_first)
        best = np.where(possible, purity, -1.0).argmax(axis=1)
        return np.where(possible.any(axis=1), best, self.values.size)

    def called(self, cuts: Counts) -> NDArray[np.bool_]:
        """Return the answer of each tree with these sorted cuts [k, c] to every value, counted or not: [k, N]."""
        rows, total = np.arange(len(cuts))[:, None], self.values.size
        real = cuts < total
        inner = np.where(real, cuts, 0)
        middle = np.where(real, (self.before[rows, inner] + self.values[inner]) / 2, np.inf)
        ends = np.column_stack((cuts, np.full_like(rows, total)))
        size, first_side = (np.diff(sums[rows, ends], axis=1, prepend=0.0) for sums in (self.size, self.first_side))
        passed = np.searchsorted(self.values, np.column_stack((middle, np.full(len(cuts), np.inf))), side="right")
        lengths = np.diff(passed, axis=1, prepend=0)
        return np.repeat((2 * first_side > size).ravel(), lengths.ravel()).reshape(-1, total)


def _purity(size: Values, first_side: Values) -> Values:
    second_side = size - first_side
    return (first_side * first_side + second_side * second_side) / np.maximum(size, 1.0)
