"""Two-sided U-MIA: a shallow decision tree in the place of U-MIA's logistic regression.

A method that pushes some forget losses below and others above those of test examples leaves a logistic regression
with nothing to call, since it knows one threshold only. A tree of depth 2 can call an interval and its complement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.tree import DecisionTreeClassifier

from scoring.evidence import ModelEvidence
from scoring.folds import Fit, Rule, Values, checked, cross_validated
from scoring.umia import fitting, indiscernibility

TITLE = "U-MIA, two-sided"
DEPTH = 2
LEAF = 0.05


def attack(model: ModelEvidence) -> dict[str, float]:
    """``accuracy`` in [0, 1] (0.5 is chance) and ``indisc`` = 1 − |2·accuracy − 1|."""
    losses, parts = model.losses, model.parts
    accuracy = umia_two_sided(losses[parts["forget"]], losses[parts["test"]], model.seed)
    return {"accuracy": accuracy, "indisc": indiscernibility(accuracy)}


def umia_two_sided(forget: ArrayLike, unseen: ArrayLike, seed: int = 0) -> float:
    """As ``scoring.umia.umia``, with its chunks, folds and errors, but any two thresholds on the loss.

    The tree splits ranks, so the result is the same for losses, φ and any other increasing function of them.
    """
    sides = checked(forget, unseen)
    ranks = np.unique(np.concatenate(sides), return_inverse=True)[1].astype(np.float64)
    with fitting():
        return cross_validated(ranks[: sides[0].size], ranks[sides[0].size :], _tree(), seed)


def _tree() -> Fit:
    # Leaves of 5 % keep single outliers from being learnt: on real losses the null is .49–.50 at every depth up to 3,
    # and a deeper tree only finds less.
    tree = DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)

    def column(values: Values) -> NDArray[np.float32]:
        return values.reshape(-1, 1).astype(np.float32)  # exact: ranks stay far below 2^24

    def fit(training: Values) -> Rule:
        tree.fit(column(training), np.repeat([1, 0], training.shape[1]), check_input=False)
        return lambda values: tree.predict(column(values), check_input=False).reshape(values.shape) == 1

    return fit
