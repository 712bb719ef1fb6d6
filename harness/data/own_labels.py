"""Labels of any kind as numbers from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unlearn_bench.harness.support.errors import DataError


def numbered(labels: ArrayLike, classes: int, place: str) -> NDArray[np.int64]:
    """Return labels [n] as integers from 0 to ``classes`` − 1.

    Integers in that range stay. All other labels, integers or strings, are numbered in their order; strings of digits
    are ordered as numbers.

    Args:
        labels: [n].
        classes: how many there must be.
        place: where they come from, for complaints.

    Raises:
        DataError: labels of another kind, or of another number of classes.
    """
    values: NDArray[Any] = np.asarray(labels)
    if values.ndim != 1 or not (np.issubdtype(values.dtype, np.integer) or values.dtype.kind in "US"):
        what = f"{place}: labels are {values.dtype} of shape {values.shape}"
        raise DataError(what, "labels are whole numbers or strings [n]")
    if values.dtype.kind in "US" and np.char.isdigit(values).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "US" and values.min() >= 0 and values.max() < classes:
        return values.astype(np.int64)
    names, numbers = np.unique(values, return_inverse=True)
    if len(names) != classes:
        first = ", ".join(map(str, names[:5])) + (" …" if len(names) > 5 else "")
        what = f"{place}: the labels are {first}: {len(names)} in all, and data.classes is {classes}"
        raise DataError(what, "correct data.classes, or the labels")
    return numbers.astype(np.int64)
