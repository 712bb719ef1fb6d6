"""Saying what a data set was taken for."""

from __future__ import annotations

import logging
from multiprocessing import parent_process

logger = logging.getLogger(__name__)


def say(place: str, what: str) -> None:
    """Log how something of a data set was understood, not once more in each worker process.

    Args:
        place: where the data set comes from.
        what: what was taken for what.
    """
    if parent_process() is None:
        logger.info("%s: %s", place, what)
