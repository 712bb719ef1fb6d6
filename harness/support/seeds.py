"""Independent seeds for everything that is drawn."""

from __future__ import annotations

import numpy as np


def derive(*path: int) -> int:
    """Derive a 32-bit seed for a path of numbers, such as (track's seed, role, index).

    Seeds of different paths are independent.
    """
    return int(np.random.SeedSequence(path).generate_state(1)[0])
