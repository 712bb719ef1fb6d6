"""Labels of any kind as numbers from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unlearn_bench.harness.data.conversions import say
from unlearn_bench.harness.support.errors import UnfitData


def numbered(labels: ArrayLike, classes: int, place: str) -> NDArray[np.int64]:
    """Return labels [n] as integers from 0 to ``classes`` − 1.

    Integers in that range stay. All other labels, integers or strings, are numbered in their order; strings of digits
    are ordered as numbers. A column [n, 1], one-hot rows [n, classes], booleans and whole floating-point numbers are
    taken as what they mean.

    Args:
        labels: [n].
        classes: how many there must be.
        place: where they come from, for complaints.

    Raises:
        UnfitData: labels of another kind, or of another number of classes.
    """
    values = _flat(np.asarray(labels), classes, place)
    if not (np.issubdtype(values.dtype, np.integer) or values.dtype.kind in "US"):
        what = f"{place}: labels are {values.dtype} of shape {values.shape}"
        remedy = "labels are whole numbers or strings [n]: labels = labels.astype(str) takes each value for a class"
        raise UnfitData(what, remedy)
    if not len(values):
        raise UnfitData(f"{place}: there are no labels", "labels are whole numbers or strings [n]")
    if values.dtype.kind in "US" and np.char.isdigit(values).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "US" and values.min() >= 0 and values.max() < classes:
        return values.astype(np.int64)
    names, numbers = np.unique(values, return_inverse=True)
    first = ", ".join(map(str, names[:5])) + (" …" if len(names) > 5 else "")
    if len(names) != classes:
        what = f"{place}: the labels are {first}: {len(names)} in all, and data.classes is {classes}"
        raise UnfitData(what, "correct data.classes, or the labels")
    say(place, f"the labels {first} are the classes 0 to {classes - 1}")
    return numbers.astype(np.int64)


def _flat(values: NDArray[Any], classes: int, place: str) -> NDArray[Any]:
    """Return labels [n] of any type from a column, one-hot rows, booleans or whole floating-point numbers."""
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and values.shape[1] == classes and values.dtype.kind in "buif":
        if ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all():
            say(place, "one-hot labels are the numbers of their columns")
            return values.argmax(axis=1)
        remedy = "labels are [n]: labels = labels.argmax(axis=1) takes the most probable class"
        raise UnfitData(f"{place}: labels have shape {values.shape} and are not one-hot", remedy)
    if values.ndim != 1:
        raise UnfitData(f"{place}: labels have shape {values.shape}", "labels are [n], one for each image")
    if values.dtype == bool or (values.dtype.kind == "f" and np.isfinite(values).all() and (values % 1 == 0).all()):
        return values.astype(np.int64)
    return values
